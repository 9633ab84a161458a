/* migrate_pages() for NUMA balancing, in the thread that faulted. The id of the histogram's key
 * is the NUMA node that pages go to, and above it 1 + the one that they come from, 0 when that
 * can't be told.
 */
struct way { u64 at; u32 to; };
struct misplaced { u32 from, to; };
BPF_TABLE("hash", u64, struct way, moving, 4096);
/* By thread: the page that it is about to move; overwritten each time. */
BPF_TABLE("lru_hash", u64, struct misplaced, misplaced_pages, 4096);
/* Base pages that were moved. */
BPF_TABLE("percpu_array", u32, u64, moved_pages, 1);

#if defined(WITH_misplaced_fentry) || defined(WITH_misplaced_kprobe)
/* With vmemmap (all of x86-64 and arm64) the NUMA node is in the topmost bits of page.flags,
 * include/linux/page-flags-layout.h.
 */
static inline int misplaced(u64 page, u32 target)
{
	u64 who = runner();
	struct misplaced way = { pointer_at(page + OFF_PAGE_FLAGS) >> NODES_PGSHIFT, target };
	if (misplaced_pages.update(&who, &way))
		lose();
	return 0;
}
#endif
#ifdef WITH_misplaced_fentry
int misplaced_fentry(u64 *ctx)
{
	RAN(misplaced_fentry);
	return misplaced(ctx[0], ctx[MISPLACED_NODE_ARG]);
}
#endif
#ifdef WITH_misplaced_kprobe
int misplaced_kprobe(void *ctx)
{
	RAN(misplaced_kprobe);
	return misplaced(*(u64 *)((char *)ctx + OFF_ARG0),
			 *(u64 *)((char *)ctx + OFF_MISPLACED_NODE));
}
#endif

static inline u64 route(u64 who, u32 to)
{
	/* 1 + the sum of both, where there are two NUMA nodes: one tells the other */
	u64 two = setting(SET_TWO_NODES), from = 0;
	struct misplaced *known = misplaced_pages.lookup(&who);
	if (known) {
		to = known->to;
		from = known->from + 1;
	} else if (two > to) {
		from = two - to;
	}
	return from << 32 | to;
}

#ifdef WITH_move_begin
/* (enum migrate_mode mode, reason: an int, or its enum) */
int move_begin(u64 *ctx)
{
	u64 who = runner();
	struct way way = { .at = bpf_ktime_get_ns(), .to = bpf_get_numa_node_id() };
	RAN(move_begin);
	if ((int)ctx[1] != REASON_NUMA || !current_in_scope())
		return 0;
	if (moving.update(&who, &way))
		lose();
	return 0;
}
#endif
#ifdef WITH_move_end
/* (unsigned long succeeded, …, enum migrate_mode mode, reason) */
int move_end(u64 *ctx)
{
	u64 who = runner(), *pages, length;
	struct way *since = moving.lookup(&who);
	u32 zero = 0, to;
	RAN(move_end);
	if (!since || (int)ctx[MOVE_REASON_ARG] != REASON_NUMA)
		return 0;
	length = bpf_ktime_get_ns() - since->at;
	/* NUMA balancing moves pages to the node of the CPU that touched them; the thread itself
	 * may have been moved meanwhile.
	 */
	to = since->to;
	moving.delete(&who);
	record(route(who, to), KIND_MIGRATION, length);
	pages = moved_pages.lookup(&zero);
	if (pages)
		*pages += ctx[0];
#ifdef WITH_STACKS
	struct path path = { .kind = KIND_MIGRATION };
	path.tgid = bpf_get_current_pid_tgid() >> 32;
	path.kernel = kernel_stacks.get_stackid(ctx, 0);
	path.user = user_stacks.get_stackid(ctx, BPF_F_USER_STACK);
	weigh(&path, length);
#endif
	return 0;
}
#endif
