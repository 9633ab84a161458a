/* migrate_pages() for NUMA balancing, in the thread that faulted. The id of the histogram's key
 * is the NUMA node of its CPU: that is where pages go. From where they come is not told here.
 */
BPF_TABLE("hash", u64, u64, moving, 4096);
/* Base pages that were moved. */
BPF_TABLE("percpu_array", u32, u64, moved_pages, 1);

#ifdef WITH_move_begin
/* (enum migrate_mode mode, int reason) */
int move_begin(u64 *ctx)
{
	u64 who = runner(), now = bpf_ktime_get_ns();
	RAN(move_begin);
	if ((int)ctx[1] != REASON_NUMA || !current_in_scope())
		return 0;
	if (moving.update(&who, &now))
		lose();
	return 0;
}
#endif
#ifdef WITH_move_end
/* (unsigned long succeeded, …, enum migrate_mode mode, int reason) */
int move_end(u64 *ctx)
{
	u64 who = runner(), *since = moving.lookup(&who), length;
	u32 node = bpf_get_numa_node_id(), zero = 0;
	u64 *pages;
	RAN(move_end);
	if (!since || (int)ctx[MOVE_REASON_ARG] != REASON_NUMA)
		return 0;
	length = bpf_ktime_get_ns() - *since;
	moving.delete(&who);
	record(node, KIND_MIGRATION, 0, length);
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
