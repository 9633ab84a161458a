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
#define UNKNOWN_NODE 0xffffffff
#define NO_SOCKET 0xffffffff
#define PF_KTHREAD 0x00200000
#define TNF_MIGRATED 0x01
#define TNF_FAULT_LOCAL 0x08

struct numa_migrations { u64 migrations, pages, cross_pages, nanoseconds; };
struct hint_faults { u64 local_pages, remote_pages; };
struct task_migrations { u64 cross; };
struct pin_moves { u64 pages; };
struct syscall_moves { u64 pages; };
struct scanner_skips { u64 skips; };

/* Which NUMA nodes: of a move from and to, of a hint fault the CPU's and the page's. */
struct route { u32 from, to; };
struct node_pair { u64 cgroup; struct route nodes; };
struct pair_counts { u64 migrations, pages, nanoseconds, fault_pages; };
struct begun { u64 at, node; };

/* Socket index + 1 per CPU and per NUMA node; 0 where it is not known, NO_SOCKET of a node that has
 * memory only (CXL).
 */
BPF_TABLE("array", u32, u32, cpu_socket, MAX_CPUS);
BPF_TABLE("array", u32, u32, node_socket, MAX_NODES);

/* The other NUMA node + 1 where there are two in all; else 0. */
BPF_TABLE("array", u32, u32, other_node, MAX_NODES);

/* 0: events without room in a map, or on a CPU of no known socket.
 * 1: pages moved by system calls, ours among them.
 * 2: events counted for the cgroup, but without room in nodePairs.
 */
BPF_TABLE("percpu_array", u32, u64, totals, 3);

BPF_TABLE("percpu_hash", u64, struct numa_migrations, numaMigrations, MAX_CGROUPS);
BPF_TABLE("percpu_hash", u64, struct hint_faults, hintFaults, MAX_CGROUPS);
BPF_TABLE("percpu_hash", u64, struct task_migrations, taskMigrations, MAX_CGROUPS);
BPF_TABLE("percpu_hash", u64, struct pin_moves, pinMoves, MAX_CGROUPS);

/* One value for all CPUs: of seldom events, and of pairs, which on hundreds of CPUs would take
 * hundreds of megabytes. Added to atomically.
 */
BPF_TABLE("hash", u64, struct syscall_moves, syscallMoves, MAX_CGROUPS);
BPF_TABLE("hash", u64, struct scanner_skips, scannerSkips, MAX_CGROUPS);
BPF_TABLE("hash", struct node_pair, struct pair_counts, nodePairs, MAX_PAIRS);

/* By thread: when migrate_pages() began, and on which NUMA node's CPU. Entries live as long as
 * that call.
 */
BPF_TABLE("hash", u32, struct begun, began, MAX_TASKS);
/* By thread: which way the page goes that it is about to move; overwritten each time. */
BPF_TABLE("lru_hash", u32, struct route, routes, MAX_TASKS);
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

#if CGROUP_V1
/* Where a css_set points to what says in which memory cgroup it is. */
#define OFF_CSS_SET_COUNTED OFF_CSS_SET_MEMORY
#else
#define OFF_CSS_SET_COUNTED OFF_CSS_SET_DFL
#endif

#ifdef CGROUPS_TOLD
/* The id of a task's cgroup, 0 when it has none any more: in the v2 hierarchy, or where v1 is
 * in use in the hierarchy of the memory controller, since v2 then holds no pods.
 */
static inline u64 cgroup_of(u64 task)
{
	u64 css_set = pointer_at(task + OFF_TASK_CGROUPS);
	u64 cgroup = css_set ? pointer_at(css_set + OFF_CSS_SET_COUNTED) : 0;
#if CGROUP_V1
	/* a struct cgroup_subsys_state so far */
	cgroup = cgroup ? pointer_at(cgroup + OFF_CSS_CGROUP) : 0;
#endif
	u64 node = cgroup ? pointer_at(cgroup + OFF_CGROUP_KN) : 0;
	return node ? pointer_at(node + OFF_KN_ID) : 0;
}
#endif

static inline u64 current_cgroup(void)
{
#if CGROUP_V1
	return cgroup_of((u64)bpf_get_current_task());
#else
	return bpf_get_current_cgroup_id();
#endif
}

#ifdef OFF_TASK_FLAGS
static inline bool in_kthread(void)
{
	return word_at((u64)bpf_get_current_task() + OFF_TASK_FLAGS) & PF_KTHREAD;
}
#endif

#if defined(WITH_migrate_end) || defined(WITH_hint_fentry) || defined(WITH_hint_kprobe)
/* From which NUMA node this thread's page came, or comes, that goes to this one. */
static inline u32 source_of(u32 to)
{
	u32 *other = other_node.lookup(&to);
	if (other && *other)
		return *other - 1;
#ifdef NODES_PGSHIFT
	u32 thread = bpf_get_current_pid_tgid();
	struct route *known = routes.lookup(&thread);
	if (known && known->to == to)
		return known->from;
#endif
	return UNKNOWN_NODE;
}

static inline struct pair_counts *counts_of(u64 cgroup, u32 from, u32 to)
{
	struct node_pair key = {cgroup, {from, to}};
	struct pair_counts *counts, zero = {};
	counts = nodePairs.lookup_or_try_init(&key, &zero);
	if (!counts)
		add_total(2, 1);
	return counts;
}
#endif

#ifdef WITH_migrate_start
/* (enum migrate_mode mode, reason: an int, or its enum) */
int migrate_start(u64 *ctx)
{
	u32 thread = bpf_get_current_pid_tgid();
	struct begun now = {};
	if ((int)ctx[1] != REASON_NUMA)
		return 0;
	now.at = bpf_ktime_get_ns();
	now.node = bpf_get_numa_node_id();
	if (began.update(&thread, &now))
		add_total(0, 1);
	return 0;
}
#endif

#ifdef WITH_migrate_end
/* Whether a page that goes this way leaves its socket; where that can't be told it does. Memory
 * without CPUs is no socket's: what goes there or comes from there (tiering) leaves none.
 */
static inline bool leaves(u32 from, u32 to)
{
	u32 source = socket_of_node(from), target = socket_of_node(to);
	if (source == NO_SOCKET || target == NO_SOCKET)
		return 0;
	return !source || !target || source != target;
}

static inline void numa_migrated(u64 pages)
{
	struct numa_migrations *counters, zero = {};
	struct pair_counts *pair;
	u32 thread = bpf_get_current_pid_tgid();
	u64 cgroup = current_cgroup(), now = bpf_ktime_get_ns(), spent = 0;
	struct begun *since = began.lookup(&thread);
	/* NUMA balancing moves pages to the node of the CPU that touched them, mm/mempolicy.c
	 * mpol_misplaced(); the thread itself may have been moved meanwhile.
	 */
	u32 to = bpf_get_numa_node_id(), from;

	if (since) {
		spent = now - since->at;
		to = since->node;
		began.delete(&thread);
	}
#ifdef NODES_PGSHIFT
	struct route *known = routes.lookup(&thread);
	if (known)
		to = known->to;
#endif
	from = source_of(to);
	counters = numaMigrations.lookup_or_try_init(&cgroup, &zero);
	if (!counters) {
		add_total(0, 1);
		return;
	}
	counters->nanoseconds += spent;
	counters->pages += pages;
	if (pages)
		counters->migrations += 1;
	if (leaves(from, to))
		counters->cross_pages += pages;
	pair = counts_of(cgroup, from, to);
	if (!pair)
		return;
	__sync_fetch_and_add(&pair->nanoseconds, spent);
	if (pages) {
		__sync_fetch_and_add(&pair->pages, pages);
		__sync_fetch_and_add(&pair->migrations, 1);
	}
}

static inline void syscall_migrated(u64 pages)
{
#ifdef OFF_TASK_FLAGS
	u32 thread = bpf_get_current_pid_tgid();
	bool worker = in_kthread();
	u64 *cgroup = worker ? moving_for.lookup(&thread) : 0;
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
	if (!worker && pages) {
		/* of the caller: move_pages(2) and migrate_pages(2) may name other processes */
		struct syscall_moves *calls, zero = {};
		u64 caller = current_cgroup();
		calls = syscallMoves.lookup_or_try_init(&caller, &zero);
		if (calls)
			__sync_fetch_and_add(&calls->pages, pages);
		else
			add_total(0, 1);
	}
#endif
	add_total(1, pages);
}

/* (unsigned long succeeded, …, enum migrate_mode mode, reason); succeeded counts base pages */
int migrate_end(u64 *ctx)
{
	int reason = ctx[MIGRATE_END_REASON_ARG];
	if (reason == REASON_NUMA)
		numa_migrated(ctx[0]);
	else if (reason == REASON_SYSCALL || reason == REASON_MBIND)
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
	struct route way = {pointer_at(page + OFF_PAGE_FLAGS) >> NODES_PGSHIFT, target};
	if (routes.update(&thread, &way))
		add_total(0, 1);
	return 0;
}
#endif

#if defined(WITH_hint_fentry) || defined(WITH_hint_kprobe)
static inline int hint(u32 node, u32 pages, u32 flags)
{
	struct hint_faults *counters, zero = {};
	struct pair_counts *pair;
	u64 cgroup = current_cgroup();
	/* After a migration node is where the page went. */
	u32 lay = flags & TNF_MIGRATED ? source_of(node) : node;
#if ALWAYS_CROSSES
	bool local = flags & TNF_FAULT_LOCAL;
#else
	u32 socket = socket_of_cpu(bpf_get_smp_processor_id());
	bool local = socket == socket_of_node(lay);
	if (!socket) {
		/* a CPU came that we have not been told of yet */
		add_total(0, 1);
		return 0;
	}
#endif
	counters = hintFaults.lookup_or_try_init(&cgroup, &zero);
	if (!counters)
		add_total(0, 1);
	else if (local)
		counters->local_pages += pages;
	else
		counters->remote_pages += pages;
	pair = counters ? counts_of(cgroup, bpf_get_numa_node_id(), lay) : 0;
	if (pair)
		__sync_fetch_and_add(&pair->fault_pages, pages);
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

#ifdef WITH_scan_skip
/* (struct task_struct *tsk, nodemask_t *allowed); task_numa_work() is run by the task itself */
int scan_skip(u64 *ctx)
{
	struct scanner_skips *counters, zero = {};
	u64 cgroup = current_cgroup();
	counters = scannerSkips.lookup_or_try_init(&cgroup, &zero);
	if (counters)
		__sync_fetch_and_add(&counters->skips, 1);
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
