/* One kernel function, from entry to return, by thread: an interrupt that calls it while its
 * thread is in it is not told apart, and a call that nests in itself counts once, the inner.
 */
BPF_TABLE("lru_hash", u64, u64, entered, 16384);

static inline int function_begin(void *ctx)
{
	u64 now = bpf_ktime_get_ns(), who = runner();
	if (!current_in_scope())
		return 0;
	if (entered.update(&who, &now))
		lose();
#ifdef WITH_STACKS
	struct path path = { .user = -1, .kind = KIND_FUNCTION };
	path.kernel = kernel_stacks.get_stackid(ctx, 0);
	weigh(&path, 0);
#endif
	return 0;
}

static inline int function_end(void)
{
	u64 who = runner(), *since = entered.lookup(&who);
	if (!since)
		return 0;
	record(0, KIND_FUNCTION, bpf_ktime_get_ns() - *since);
	entered.delete(&who);
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
