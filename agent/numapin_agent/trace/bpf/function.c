/* One kernel function, from entry to return, by thread. A call within another of the same thread,
 * as of a function that calls itself, or one by an interrupt on top of it, ends before the outer
 * does: the begins are a stack. Returns that were not seen leave some at its bottom, which are in
 * nobody's way; when it is full of them it begins anew.
 */
#define NESTED 8
struct begun { u64 depth, at[NESTED]; };
BPF_TABLE("lru_hash", u64, struct begun, entered, 16384);

static inline int function_begin(void *ctx)
{
	u64 now = bpf_ktime_get_ns(), who = runner();
	struct begun *begun, first = { .depth = 1, .at = { now } };
	u32 depth;
	if (!current_in_scope())
		return 0;
	begun = entered.lookup(&who);
	if (begun) {
		depth = begun->depth < NESTED ? begun->depth : 0;
		begun->at[at_most(depth, NESTED - 1)] = now;
		begun->depth = depth + 1;
	} else if (entered.update(&who, &first)) {
		lose();
	}
#ifdef WITH_STACKS
	struct path path = { .user = -1, .kind = KIND_FUNCTION };
	path.kernel = kernel_stacks.get_stackid(ctx, 0);
	weigh(&path, 0);
#endif
	return 0;
}

static inline int function_end(void)
{
	u64 who = runner();
	struct begun *begun = entered.lookup(&who);
	u32 depth;
	if (!begun || !begun->depth)
		return 0;
	depth = begun->depth - 1;
	begun->depth = depth;
	record(0, KIND_FUNCTION, bpf_ktime_get_ns() - begun->at[at_most(depth, NESTED - 1)]);
	return 0;
}

#ifdef WITH_function_fentry
int function_fentry(u64 *ctx) { RAN(function_fentry); return function_begin(ctx); }
#endif
#ifdef WITH_function_fexit
int function_fexit(u64 *ctx) { RAN(function_fexit); return function_end(); }
#endif
#ifdef WITH_function_kprobe
int function_kprobe(void *ctx) { RAN(function_kprobe); return function_begin(ctx); }
#endif
#ifdef WITH_function_kretprobe
int function_kretprobe(void *ctx) { RAN(function_kretprobe); return function_end(); }
#endif
