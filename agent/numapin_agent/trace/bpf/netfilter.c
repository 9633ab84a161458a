/* nf_hook_slow(struct sk_buff *skb, struct nf_hook_state *state, …): all hooks of one kind. */
struct hooked { u64 at, id; };
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

/* id: hook | family << 8 | ethertype << 16 | IP protocol << 32 */
static inline int hook_begin(u64 skb, u64 state, u64 entries)
{
	u64 who = runner(), head = pointer_at(skb + OFF_SKB_HEAD);
	struct hooked begin = { .at = bpf_ktime_get_ns() };
	u16 network = 0, type = 0;
	u8 hook = 0, family = 0, protocol = 0;
	if (!current_in_scope())
		return 0;
	bpf_probe_read_kernel(&hook, 1, (void *)(state + OFF_NF_HOOK));
	bpf_probe_read_kernel(&family, 1, (void *)(state + OFF_NF_FAMILY));
	bpf_probe_read_kernel(&network, 2, (void *)(skb + OFF_SKB_NETWORK));
	bpf_probe_read_kernel(&type, 2, (void *)(skb + OFF_SKB_PROTOCOL));
	/* protocol is byte 9 of an IPv4 header, byte 6 of an IPv6 one (next header) */
	if (family == 2)
		bpf_probe_read_kernel(&protocol, 1, (void *)(head + network + 9));
	else if (family == 10)
		bpf_probe_read_kernel(&protocol, 1, (void *)(head + network + 6));
	meet_hooks(entries, hook | (u32)family << 8);
	begin.id = hook | (u64)family << 8 | (u64)type << 16 | (u64)protocol << 32;
	if (hooked.update(&who, &begin))
		lose();
	return 0;
}

static inline int hook_end(void)
{
	u64 who = runner();
	struct hooked *begin = hooked.lookup(&who);
	if (!begin)
		return 0;
	record(begin->id, KIND_NETFILTER, bpf_ktime_get_ns() - begin->at);
	hooked.delete(&who);
	return 0;
}
#ifdef WITH_hook_fentry
int hook_fentry(u64 *ctx) { RAN(hook_fentry); return hook_begin(ctx[0], ctx[1], ctx[2]); }
#endif
#ifdef WITH_hook_fexit
int hook_fexit(u64 *ctx) { RAN(hook_fexit); return hook_end(); }
#endif
#ifdef WITH_hook_kprobe
int hook_kprobe(void *ctx)
{
	RAN(hook_kprobe);
	return hook_begin(*(u64 *)((char *)ctx + OFF_ARG0), *(u64 *)((char *)ctx + OFF_ARG1),
			  *(u64 *)((char *)ctx + OFF_ARG2));
}
#endif
#ifdef WITH_hook_kretprobe
int hook_kretprobe(void *ctx) { RAN(hook_kretprobe); return hook_end(); }
#endif
