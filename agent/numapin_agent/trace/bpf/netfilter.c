/* nf_hook_slow(struct sk_buff *skb, struct nf_hook_state *state, …): all hooks of one kind.
 *
 * One nests in another: IPVS and bridges send packets on from within a hook, and a softirq runs on
 * top of a thread that is in one. The state is a variable of the caller's, so that its address tells
 * apart all that are under way. A kretprobe is not passed it: the innermost of the thread ends first,
 * and knows the one around it.
 */
#ifdef SPIKE
/* What holds a pod up may be for packets of others. */
#define OURS 1
#define BY_HOOK
#else
#define OURS current_in_scope()
#endif

struct hooked { u64 at, id, outer; };
BPF_TABLE("lru_hash", u64, struct hooked, hooked, 16384);

#if defined(OFF_HOOKS) && defined(OFF_HOOKS_COUNT)
/* What a hook calls: the first functions of each table of hooks that is met, in their order. */
#define HOOK_FUNCTIONS 8
struct hook_function { u64 function; u32 hook, place; };
BPF_TABLE("lru_hash", u64, u8, known_hooks, 1024);
BPF_TABLE("hash", struct hook_function, u8, hook_functions, 512);

/* struct nf_hook_entry of include/linux/netfilter.h: the function, then its argument */
static inline void meet_hooks(u64 entries, u32 hook)
{
	struct hook_function one = { .hook = hook };
	u16 count = 0;
	u8 known = 1;
	if (known_hooks.lookup(&entries))
		return;
	known_hooks.update(&entries, &known);
	bpf_probe_read_kernel(&count, 2, (void *)(entries + OFF_HOOKS_COUNT));
#pragma unroll
	for (u32 i = 0; i < HOOK_FUNCTIONS; i++) {
		if (i >= count)
			break;
		one.function = pointer_at(entries + OFF_HOOKS + 16 * i);
		one.place = i;
		hook_functions.update(&one, &known);
	}
}
#else
static inline void meet_hooks(u64 entries, u32 hook) {}
#endif

/* id: hook | family << 8 | ethertype << 16 | IP protocol << 32; BY_HOOK without the
 * latter two, which whoever sends packets decides
 */
static inline int hook_begin(u64 skb, u64 state, u64 entries, u64 outer)
{
	u64 head = pointer_at(skb + OFF_SKB_HEAD);
	struct hooked begin = { .at = bpf_ktime_get_ns(), .outer = outer };
	u16 network = 0, type = 0;
	u8 hook = 0, family = 0, protocol = 0;
	bpf_probe_read_kernel(&hook, 1, (void *)(state + OFF_NF_HOOK));
	bpf_probe_read_kernel(&family, 1, (void *)(state + OFF_NF_FAMILY));
	bpf_probe_read_kernel(&network, 2, (void *)(skb + OFF_SKB_NETWORK));
	bpf_probe_read_kernel(&type, 2, (void *)(skb + OFF_SKB_PROTOCOL));
	/* protocol is byte 9 of an IPv4 header, byte 6 of an IPv6 one (next header) */
#ifdef BY_HOOK
	type = 0;
#else
	if (family == 2)
		bpf_probe_read_kernel(&protocol, 1, (void *)(head + network + 9));
	else if (family == 10)
		bpf_probe_read_kernel(&protocol, 1, (void *)(head + network + 6));
#endif
	meet_hooks(entries, hook | (u32)family << 8);
	begin.id = hook | (u64)family << 8 | (u64)type << 16 | (u64)protocol << 32;
	if (hooked.update(&state, &begin))
		lose();
	return 0;
}

static inline u64 hook_end(u64 state)
{
	struct hooked *begin = hooked.lookup(&state);
	u64 outer, id, start, length;
	if (!begin)
		return 0;
	outer = begin->outer;
	id = begin->id;
	start = begin->at;
	length = bpf_ktime_get_ns() - start;
	hooked.delete(&state);
	record(id, KIND_NETFILTER, length);
#ifdef SPIKE
	keep(id, KIND_NETFILTER, start, length, 0, LONG);
#endif
	return outer;
}
#ifdef WITH_hook_fentry
int hook_fentry(u64 *ctx)
{
	u64 state = ctx[1];
	RAN(hook_fentry);
	if (OURS)
		return hook_begin(ctx[0], state, ctx[2], 0);
	/* of a return that was missed, as within the same program on that CPU */
	hooked.delete(&state);
	return 0;
}
#endif
#ifdef WITH_hook_fexit
int hook_fexit(u64 *ctx) { RAN(hook_fexit); hook_end(ctx[1]); return 0; }
#endif
#ifdef WITH_hook_kprobe
/* By thread. */
BPF_TABLE("lru_hash", u64, u64, innermost, 16384);

int hook_kprobe(void *ctx)
{
	u64 who = runner(), state = *(u64 *)((char *)ctx + OFF_ARG1), *outer;
	RAN(hook_kprobe);
	if (!OURS)
		return 0;
	outer = innermost.lookup(&who);
	hook_begin(*(u64 *)((char *)ctx + OFF_ARG0), state, *(u64 *)((char *)ctx + OFF_ARG2),
		   outer ? *outer : 0);
	if (innermost.update(&who, &state))
		lose();
	return 0;
}
#endif
#ifdef WITH_hook_kretprobe
int hook_kretprobe(void *ctx)
{
	u64 who = runner(), *state = innermost.lookup(&who), outer;
	RAN(hook_kretprobe);
	if (!state)
		return 0;
	outer = hook_end(*state);
	if (outer)
		innermost.update(&who, &outer);
	else
		innermost.delete(&who);
	return 0;
}
#endif
