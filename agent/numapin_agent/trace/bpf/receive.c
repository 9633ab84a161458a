/* The way of a packet up: each stage from the one before, by address of the sk_buff. TCP joins
 * packets in the socket's queue, so that fewer are read than came; none is counted twice. UDP
 * copies linear packets itself (copy_linear_skb), past the tracepoint of stage 3.
 * 0 raised -> NET_RX runs, 1 driver -> stack, 2 stack -> transport, 3 stack -> read; where
 * ip_local_deliver() is seen 4 stack -> IP and 5 IP -> transport in the place of 2; 6 transport -> read
 *
 * Whose a packet is isn't known before it is read: all of a pod's is told then.
 */
struct seen { u64 driver, stack, ip, transport; };
BPF_TABLE("lru_hash", u64, struct seen, packets, 16384);
BPF_TABLE("percpu_array", u32, u64, raised, 1);
#define NET_RX 3

#ifdef WITH_rx_raise
/* (unsigned int vec_nr) */
int rx_raise(u64 *ctx)
{
	u32 zero = 0;
	u64 *at = raised.lookup(&zero);
	RAN(rx_raise);
	if (at && ctx[0] == NET_RX && !*at)
		*at = bpf_ktime_get_ns();
	return 0;
}
#endif
#ifdef WITH_rx_run
int rx_run(u64 *ctx)
{
	u32 zero = 0;
	u64 *at = raised.lookup(&zero);
	RAN(rx_run);
	if (!at || ctx[0] != NET_RX || !*at)
		return 0;
	/* of no pod yet: what it brings is not known */
	if (!setting(SET_CGROUP))
		record(0, KIND_RECEIVE, bpf_ktime_get_ns() - *at);
	*at = 0;
	return 0;
}
#endif

static inline int from_driver(u64 skb)
{
	struct seen seen = { .driver = bpf_ktime_get_ns() };
	if (packets.update(&skb, &seen))
		lose();
	return 0;
}
#ifdef WITH_rx_gro
/* (const struct sk_buff *skb) */
int rx_gro(u64 *ctx) { RAN(rx_gro); return from_driver(ctx[0]); }
#endif
#ifdef WITH_rx_backlog
int rx_backlog(u64 *ctx) { RAN(rx_backlog); return from_driver(ctx[0]); }
#endif
#ifdef WITH_rx_stack
/* (struct sk_buff *skb) */
int rx_stack(u64 *ctx)
{
	u64 skb = ctx[0], now = bpf_ktime_get_ns();
	struct seen *before = packets.lookup(&skb), seen = { .stack = now };
	RAN(rx_stack);
	if (before && before->driver && !before->stack) {
		seen.driver = before->driver;
		if (!setting(SET_CGROUP))
			record(1, KIND_RECEIVE, now - before->driver);
	}
	if (packets.update(&skb, &seen))
		lose();
	return 0;
}
#endif
#ifdef WITH_rx_read
/* (const struct sk_buff *skb, int len); a packet that is read in parts counts once */
int rx_read(u64 *ctx)
{
	u64 skb = ctx[0], now = bpf_ktime_get_ns();
	struct seen *before = packets.lookup(&skb), read;
	RAN(rx_read);
	if (!before || !current_in_scope())
		return 0;
	read = *before;
	packets.delete(&skb);
	if (!read.stack)
		return 0;
	record(3, KIND_RECEIVE, now - read.stack);
	if (read.transport)
		record(6, KIND_RECEIVE, now - read.transport);
	if (!setting(SET_CGROUP))
		return 0;
	if (read.driver && read.driver < read.stack)
		record(1, KIND_RECEIVE, read.stack - read.driver);
	if (read.ip)
		record(4, KIND_RECEIVE, read.ip - read.stack);
	if (read.transport && read.ip)
		record(5, KIND_RECEIVE, read.transport - read.ip);
	else if (read.transport)
		record(2, KIND_RECEIVE, read.transport - read.stack);
	return 0;
}
#endif
#if defined(WITH_rx_ip_fentry) || defined(WITH_rx_ip_kprobe)
/* After PRE_ROUTING and the choice of a route; ip_rcv() is passed by for packets in lists. */
static inline int at_ip(u64 skb)
{
	u64 now = bpf_ktime_get_ns();
	struct seen *before = packets.lookup(&skb);
	if (!before || !before->stack)
		return 0;
	before->ip = now;
	if (!setting(SET_CGROUP))
		record(4, KIND_RECEIVE, now - before->stack);
	return 0;
}
#endif
#ifdef WITH_rx_ip_fentry
/* ip_local_deliver(struct sk_buff *skb) */
int rx_ip_fentry(u64 *ctx) { RAN(rx_ip_fentry); return at_ip(ctx[0]); }
#endif
#ifdef WITH_rx_ip_kprobe
int rx_ip_kprobe(void *ctx)
{
	RAN(rx_ip_kprobe);
	return at_ip(*(u64 *)((char *)ctx + OFF_ARG0));
}
#endif
#if defined(WITH_rx_tcp_fentry) || defined(WITH_rx_tcp_kprobe)
static inline int at_transport(u64 skb)
{
	struct seen *before = packets.lookup(&skb);
	u64 now = bpf_ktime_get_ns();
	if (!before || !before->stack)
		return 0;
	before->transport = now;
	if (setting(SET_CGROUP))
		return 0;
	if (before->ip)
		record(5, KIND_RECEIVE, now - before->ip);
	else
		record(2, KIND_RECEIVE, now - before->stack);
	return 0;
}
#endif
#ifdef WITH_rx_tcp_fentry
/* tcp_v4_rcv(struct sk_buff *skb) */
int rx_tcp_fentry(u64 *ctx) { RAN(rx_tcp_fentry); return at_transport(ctx[0]); }
#endif
#ifdef WITH_rx_tcp_kprobe
int rx_tcp_kprobe(void *ctx)
{
	RAN(rx_tcp_kprobe);
	return at_transport(*(u64 *)((char *)ctx + OFF_ARG0));
}
#endif
