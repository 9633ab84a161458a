/*
 * DRAM fills per cgroup: one pair of PMU counters a CPU, whose growth goes to the cgroup that
 * leaves the CPU (the design of perf's bperf_cgroup.bpf.c). Compiled behind programs.c, with its
 * helpers. The agent opens the events and puts them into dramEvents.
 *
 * A task that is put into a cgroup while it runs takes along what its CPU counted since the last
 * switch between cgroups: once for each start of a container and each exec into one.
 */

struct dram_fills { u64 local, remote, running, enabled; };
struct dram_reading { u64 first, remote, running, enabled, known; };

BPF_TABLE("percpu_hash", u64, struct dram_fills, remoteDram, MAX_CGROUPS);

/* By CPU: where its counters stood when the last cgroup left. Each CPU writes its own. */
BPF_TABLE("array", u32, struct dram_reading, dramReadings, MAX_CPUS);

/* Of CPU n the first counter at n, the remote one at MAX_CPUS + n, what runs dram_switch at
 * 2 * MAX_CPUS + n: kept here because the map holds events open without a descriptor of each.
 */
BPF_PERF_ARRAY(dramEvents, 3 * MAX_CPUS);

#if defined(WITH_dram_switch) || defined(WITH_dram_flush)
/* A group counts together or not at all, so one event's times hold for both. */
static inline int dram_count(void)
{
	struct bpf_perf_event_value first = {}, remote = {};
	struct dram_fills *fills, zero = {};
	u32 cpu = bpf_get_smp_processor_id();
	u64 cgroup, all, far;
	struct dram_reading was, *last = dramReadings.lookup(&cpu);

	if (!last)
		return 0;
	if (dramEvents.perf_counter_value(cpu, &first, sizeof(first)) ||
	    dramEvents.perf_counter_value(MAX_CPUS + cpu, &remote, sizeof(remote))) {
		/* not opened on this CPU, or not yet */
		last->known = 0;
		return 0;
	}
	was = *last;
	last->first = first.counter;
	last->remote = remote.counter;
	last->running = first.running;
	last->enabled = first.enabled;
	last->known = 1;
	if (!was.known)
		return 0;
	cgroup = current_cgroup();
	fills = remoteDram.lookup_or_try_init(&cgroup, &zero);
	if (!fills) {
		add_total(0, 1);
		return 0;
	}
	all = first.counter - was.first;
	far = remote.counter - was.remote;
#if DRAM_WHOLE
	all = all > far ? all - far : 0;
#endif
	fills->local += all;
	fills->remote += far;
	fills->running += first.running - was.running;
	fills->enabled += first.enabled - was.enabled;
	return 0;
}
#endif

#ifdef WITH_dram_switch
/* Software event cgroup-switches: current is still the task that leaves,
 * include/linux/perf_event.h perf_event_task_sched_out().
 */
int dram_switch(void *ctx) { return dram_count(); }
#endif
#ifdef WITH_dram_flush
/* Run by the agent on each CPU before it reads. */
int dram_flush(void *ctx) { return dram_count(); }
#endif
