/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Counters per cgroup of what NUMA balancing, the scheduler and cpuset writes do.
 *
 * Compiled by bcc without kernel headers: OFF_* are offsets in kernel structs and REASON_*
 * enumerators, both from BTF; WITH_<function> selects what to build. Members of the value
 * structs are mirrored in signals.py. All counters only grow. Contexts are read as arrays of
 * 64-bit words, which is what raw tracepoints and fentry programs are given.
 */
#include <linux/types.h>

#define MAX_NODES 1024
#define MAX_TASKS 16384
#define PF_KTHREAD 0x00200000
#define TNF_MIGRATED 0x01
#define TNF_FAULT_LOCAL 0x08

struct numa_migrations { u64 migrations, pages, cross_pages, nanoseconds; };
struct hint_faults { u64 local_pages, remote_pages; };
struct task_migrations { u64 cross; };
struct pin_moves { u64 pages; };

/* Socket index + 1 per CPU and per NUMA node; 0 where it is not known. */
BPF_TABLE("array", u32, u32, cpu_socket, MAX_CPUS);
BPF_TABLE("array", u32, u32, node_socket, MAX_NODES);

/* 0: events without room in a map, or on a CPU of no known socket. 1: pages moved by system calls, ours among them. */
BPF_TABLE("percpu_array", u32, u64, totals, 2);

BPF_TABLE("percpu_hash", u64, struct numa_migrations, numaMigrations, MAX_CGROUPS);
BPF_TABLE("percpu_hash", u64, struct hint_faults, hintFaults, MAX_CGROUPS);
BPF_TABLE("percpu_hash", u64, struct task_migrations, taskMigrations, MAX_CGROUPS);
BPF_TABLE("percpu_hash", u64, struct pin_moves, pinMoves, MAX_CGROUPS);

/* By thread: when migrate_pages() began. Entries live as long as that call. */
BPF_TABLE("hash", u32, u64, began, MAX_TASKS);
/* By thread: whether the page it is about to move leaves the socket; overwritten each time. */
BPF_TABLE("lru_hash", u32, u32, leaving, MAX_TASKS);
/* By kworker thread: the cgroup whose memory it moves after a write to cpuset.mems. */
BPF_TABLE("lru_hash", u32, u64, moving_for, 1024);

static inline void add_total(u32 which, u64 n)
{
	u64 *total = totals.lookup(&which);
	if (total)
		*total += n;
}

static inline u64 pointer_at(u64 address)
{
	u64 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static inline u32 word_at(u64 address)
{
	u32 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static inline u32 socket_of_cpu(u32 cpu)
{
	u32 *socket = cpu_socket.lookup(&cpu);
	return socket ? *socket : 0;
}

static inline u32 socket_of_node(u32 node)
{
	u32 *socket = node_socket.lookup(&node);
	return socket ? *socket : 0;
}

#if defined(OFF_TASK_CGROUPS) && defined(OFF_CSS_SET_DFL) && defined(OFF_CGROUP_KN) && defined(OFF_KN_ID)
/* The id of a task's cgroup in the v2 hierarchy, 0 when it has none any more. */
static inline u64 cgroup_of(u64 task)
{
	u64 css_set = pointer_at(task + OFF_TASK_CGROUPS);
	u64 cgroup = css_set ? pointer_at(css_set + OFF_CSS_SET_DFL) : 0;
	u64 node = cgroup ? pointer_at(cgroup + OFF_CGROUP_KN) : 0;
	return node ? pointer_at(node + OFF_KN_ID) : 0;
}
#endif

#ifdef OFF_TASK_FLAGS
static inline bool in_kthread(void)
{
	return word_at((u64)bpf_get_current_task() + OFF_TASK_FLAGS) & PF_KTHREAD;
}
#endif

#ifdef WITH_migrate_start
/* (enum migrate_mode mode, int reason) */
int migrate_start(u64 *ctx)
{
	u32 thread = bpf_get_current_pid_tgid();
	u64 now;
	if ((int)ctx[1] != REASON_NUMA)
		return 0;
	now = bpf_ktime_get_ns();
	if (began.update(&thread, &now))
		add_total(0, 1);
	return 0;
}
#endif

#ifdef WITH_migrate_end
/* Whether the page that this thread moved left its socket. */
static inline bool left_socket(u32 thread)
{
#if ALWAYS_CROSSES || !defined(NODES_PGSHIFT)
	return 1;
#else
	u32 *known = leaving.lookup(&thread);
	return !known || *known;
#endif
}

static inline void numa_migrated(u64 pages)
{
	struct numa_migrations *counters, zero = {};
	u32 thread = bpf_get_current_pid_tgid();
	u64 cgroup = bpf_get_current_cgroup_id(), now = bpf_ktime_get_ns(), spent = 0;
	u64 *since = began.lookup(&thread);

	if (since) {
		spent = now - *since;
		began.delete(&thread);
	}
	counters = numaMigrations.lookup_or_try_init(&cgroup, &zero);
	if (!counters) {
		add_total(0, 1);
		return;
	}
	counters->nanoseconds += spent;
	counters->pages += pages;
	if (pages)
		counters->migrations += 1;
	if (left_socket(thread))
		counters->cross_pages += pages;
}

static inline void syscall_migrated(u64 pages)
{
#ifdef OFF_TASK_FLAGS
	u32 thread = bpf_get_current_pid_tgid();
	u64 *cgroup = in_kthread() ? moving_for.lookup(&thread) : 0;
	if (cgroup) {
		struct pin_moves *counters, zero = {};
		u64 key = *cgroup;
		counters = pinMoves.lookup_or_try_init(&key, &zero);
		if (counters)
			counters->pages += pages;
		else
			add_total(0, 1);
		return;
	}
#endif
	add_total(1, pages);
}

/* (unsigned long succeeded, …, enum migrate_mode mode, int reason); succeeded counts base pages */
int migrate_end(u64 *ctx)
{
	int reason = ctx[MIGRATE_END_REASON_ARG];
	if (reason == REASON_NUMA)
		numa_migrated(ctx[0]);
	else if (reason == REASON_SYSCALL)
		syscall_migrated(ctx[0]);
	return 0;
}
#endif

#if defined(WITH_misplaced_fentry) || defined(WITH_misplaced_kprobe)
/* With vmemmap (all of x86-64 and arm64) the NUMA node is in the topmost bits of page.flags,
 * include/linux/page-flags-layout.h.
 */
static inline int misplaced(u64 page, u32 target)
{
	u32 thread = bpf_get_current_pid_tgid();
	u32 from = socket_of_node(pointer_at(page + OFF_PAGE_FLAGS) >> NODES_PGSHIFT);
	u32 to = socket_of_node(target);
	u32 leaves = !from || !to || from != to;
	if (leaving.update(&thread, &leaves))
		add_total(0, 1);
	return 0;
}
#endif

#if defined(WITH_hint_fentry) || defined(WITH_hint_kprobe)
static inline int hint(u32 node, u32 pages, u32 flags)
{
	struct hint_faults *counters, zero = {};
	u64 cgroup = bpf_get_current_cgroup_id();
#if ALWAYS_CROSSES
	bool local = flags & TNF_FAULT_LOCAL;
#else
	bool local;
	if (flags & TNF_MIGRATED) {
		/* node is where the page went; where it came from was noted when it was moved */
		u32 thread = bpf_get_current_pid_tgid();
		u32 *leaves = leaving.lookup(&thread);
		local = leaves && !*leaves;
	} else {
		u32 socket = socket_of_cpu(bpf_get_smp_processor_id());
		local = socket && socket == socket_of_node(node);
	}
#endif
	counters = hintFaults.lookup_or_try_init(&cgroup, &zero);
	if (!counters)
		add_total(0, 1);
	else if (local)
		counters->local_pages += pages;
	else
		counters->remote_pages += pages;
	return 0;
}
#endif

#if defined(WITH_cpuset_move_fentry) || defined(WITH_cpuset_move_kprobe)
/* Only the cpuset worker is of interest. Other kernel threads never move pages for a system
 * call, so an entry that outlives the call can't be mistaken: syscall_migrated() asks again
 * whether it runs in a kernel thread.
 */
static inline int cpuset_move(u64 mm)
{
	u32 thread = bpf_get_current_pid_tgid();
	u64 owner, cgroup;
	if (!in_kthread())
		return 0;
	owner = pointer_at(mm + OFF_MM_OWNER);
	cgroup = owner ? cgroup_of(owner) : 0;
	if (!cgroup)
		moving_for.delete(&thread);
	else if (moving_for.update(&thread, &cgroup))
		add_total(0, 1);
	return 0;
}
#endif

#ifdef WITH_task_migrate
/* (struct task_struct *p, int dest_cpu); runs in the waker's or balancer's context */
int task_migrate(u64 *ctx)
{
	struct task_migrations *counters, zero = {};
	u64 cgroup;
	u32 from = socket_of_cpu(word_at(ctx[0] + OFF_TASK_CPU));
	u32 to = socket_of_cpu(ctx[1]);
	if (from == to && from)
		return 0;
	if (!from || !to) {
		/* a CPU came that we have not been told of yet */
		add_total(0, 1);
		return 0;
	}
	cgroup = cgroup_of(ctx[0]);
	counters = taskMigrations.lookup_or_try_init(&cgroup, &zero);
	if (counters)
		counters->cross += 1;
	else
		add_total(0, 1);
	return 0;
}
#endif

/* Arguments of a kprobed function, from the saved registers. */
#define ARG(n) (*(u64 *)((char *)ctx + OFF_ARG##n))
#define ARG_AT_(n) ARG(n)
#define ARG_AT(n) ARG_AT_(n)

#ifdef WITH_hint_fentry
int hint_fentry(u64 *ctx) { return hint(ctx[1], ctx[2], ctx[3]); }
#endif
#ifdef WITH_hint_kprobe
int hint_kprobe(u64 *ctx) { return hint(ARG(1), ARG(2), ARG(3)); }
#endif
#ifdef WITH_cpuset_move_fentry
int cpuset_move_fentry(u64 *ctx) { return cpuset_move(ctx[0]); }
#endif
#ifdef WITH_cpuset_move_kprobe
int cpuset_move_kprobe(u64 *ctx) { return cpuset_move(ARG(0)); }
#endif
#ifdef WITH_misplaced_fentry
int misplaced_fentry(u64 *ctx) { return misplaced(ctx[0], ctx[MISPLACED_NODE_ARG]); }
#endif
#ifdef WITH_misplaced_kprobe
int misplaced_kprobe(u64 *ctx) { return misplaced(ARG(0), ARG_AT(MISPLACED_NODE_ARG)); }
#endif
