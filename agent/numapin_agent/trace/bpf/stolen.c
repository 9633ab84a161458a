/* What softirqs or interrupts took from threads that waited for their CPU meanwhile.
 *
 * Each CPU adds up what every STEALER (a vector of softirqs; for interrupts all as one) has taken
 * there. A thread that begins to wait notes these sums; when it gets the CPU, what they have grown
 * by was taken from it. One that gets another CPU than it waited for is left out: what would have
 * been there without is not known. Only where somebody asked about one pod; else nothing of this is
 * there.
 */
#ifdef STEALERS
struct taken { u64 sum[STEALERS_MASK + 1], at[STEALERS_MASK + 1]; };
struct waiting { u64 sum[STEALERS]; u64 cpu; };
BPF_TABLE("array", u32, struct taken, taken, MAX_CPUS);
BPF_TABLE("lru_hash", u32, struct waiting, waiting, 8192);

static inline void taking(u32 stealer)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct taken *here = taken.lookup(&cpu);
	if (here)
		here->at[at_most(stealer, STEALERS_MASK)] = bpf_ktime_get_ns();
}

static inline void took(u32 stealer)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct taken *here = taken.lookup(&cpu);
	u64 *at;
	if (!here)
		return;
	stealer = at_most(stealer, STEALERS_MASK);
	at = &here->at[stealer];
	if (!*at)
		return;
	here->sum[stealer] += bpf_ktime_get_ns() - *at;
	*at = 0;
}

static inline void begins_to_wait(u64 task)
{
	u32 thread = word_at(task + OFF_TASK_PID), cpu = word_at(task + OFF_TASK_CPU);
	struct taken *there = taken.lookup(&cpu);
	struct waiting begin = { .cpu = cpu };
	u64 now = bpf_ktime_get_ns(), since;
	if (!thread || !there || !in_scope(task))
		return;
	/* A softirq that wakes it is under way there: what it has taken by now it took before. */
#pragma unroll
	for (u32 i = 0; i < STEALERS; i++) {
		since = there->at[i];
		begin.sum[i] = there->sum[i] + (since && since < now ? now - since : 0);
	}
	if (waiting.update(&thread, &begin))
		lose();
}

static inline void waited(u32 thread)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct waiting *since = waiting.lookup(&thread);
	struct taken *here = taken.lookup(&cpu);
	if (!since)
		return;
	if (here && since->cpu == cpu) {
#pragma unroll
		for (u32 i = 0; i < STEALERS; i++) {
			if (here->sum[i] > since->sum[i])
				record_here(i, KIND_STOLEN, here->sum[i] - since->sum[i]);
		}
	}
	waiting.delete(&thread);
}
#else
#define taking(stealer) do {} while (0)
#define took(stealer) do {} while (0)
#endif

#ifdef WITH_stolen_wakeup
/* (struct task_struct *p) */
int stolen_wakeup(u64 *ctx) { RAN(stolen_wakeup); begins_to_wait(ctx[0]); return 0; }
#endif
#ifdef WITH_stolen_new
int stolen_new(u64 *ctx) { RAN(stolen_new); begins_to_wait(ctx[0]); return 0; }
#endif
#ifdef WITH_stolen_switch
/* (bool preempt, struct task_struct *prev, struct task_struct *next, …) */
int stolen_switch(u64 *ctx)
{
	RAN(stolen_switch);
	/* TASK_RUNNING is 0; one that was preempted waits on, whatever its state says */
	if ((ctx[0] & 1) || !word_at(ctx[1] + OFF_TASK_STATE))
		begins_to_wait(ctx[1]);
	waited(word_at(ctx[2] + OFF_TASK_PID));
	return 0;
}
#endif
