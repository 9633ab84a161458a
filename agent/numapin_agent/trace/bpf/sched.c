/* Waiting for a CPU (run queue) and off it. sched_switch is called before the switch: the task
 * that leaves is still the current one, so its stack can be taken.
 */
struct queued { u64 at; };
BPF_TABLE("lru_hash", u32, struct queued, queue, 16384);

static inline void enqueued(u64 task)
{
	u32 thread = word_at(task + OFF_TASK_PID);
	struct queued since = { .at = bpf_ktime_get_ns() };
	if (thread && in_scope(task) && queue.update(&thread, &since))
		lose();
}

#ifdef SPIKE
/* Threads that sleep within a system call that doesn't wait by design. */
BPF_TABLE("lru_hash", u32, struct queued, asleep, 16384);

static inline void falls_asleep(u64 task)
{
	u32 thread = word_at(task + OFF_TASK_PID);
	u64 who = thread;
	struct queued since = { .at = bpf_ktime_get_ns() };
	if (calls.lookup(&who) && asleep.update(&thread, &since))
		lose();
}

static inline void awakes(u64 task)
{
	u32 thread = word_at(task + OFF_TASK_PID);
	struct queued *since = asleep.lookup(&thread);
	u64 start;
	if (!since)
		return;
	start = since->at;
	asleep.delete(&thread);
	keep(thread, KIND_OFF, start, bpf_ktime_get_ns() - start, 0, LONG);
}
#else
#define falls_asleep(task) do {} while (0)
#define awakes(task) do {} while (0)
#endif

#ifdef WITH_wakeup
/* (struct task_struct *p) */
int wakeup(u64 *ctx) { RAN(wakeup); awakes(ctx[0]); enqueued(ctx[0]); return 0; }
#endif
#ifdef WITH_wakeup_new
int wakeup_new(u64 *ctx) { RAN(wakeup_new); enqueued(ctx[0]); return 0; }
#endif
#ifdef WITH_queue_switch
/* (bool preempt, struct task_struct *prev, struct task_struct *next, …) */
int queue_switch(u64 *ctx)
{
	u32 thread = word_at(ctx[2] + OFF_TASK_PID), group = word_at(ctx[2] + OFF_TASK_TGID);
	struct queued *since;
	u64 start, length;
	RAN(queue_switch);
	/* TASK_RUNNING is 0; one that was preempted waits on, whatever its state says */
	if ((ctx[0] & 1) || !word_at(ctx[1] + OFF_TASK_STATE))
		enqueued(ctx[1]);
	else
		falls_asleep(ctx[1]);
	since = queue.lookup(&thread);
	if (!since)
		return 0;
	start = since->at;
	length = bpf_ktime_get_ns() - start;
	queue.delete(&thread);
	record(group, KIND_QUEUED, length);
	keep(thread, KIND_QUEUED, start, length, 0, LONG);
	return 0;
}
#endif

#ifdef WITH_off_switch
#define TASK_DEAD 0x80
struct away { u64 at; struct path path; };
BPF_TABLE("lru_hash", u32, struct away, gone, 16384);

int off_switch(u64 *ctx)
{
	u64 now = bpf_ktime_get_ns(), length;
	u32 leaving = word_at(ctx[1] + OFF_TASK_PID), coming = word_at(ctx[2] + OFF_TASK_PID);
	struct away *since;
	RAN(off_switch);
	/* its number may be another thread's before long, and maybe another pod's */
	if (leaving && !(word_at(ctx[1] + OFF_TASK_STATE) & TASK_DEAD) && in_scope(ctx[1])) {
		struct away away = { .at = now };
		away.path.tgid = word_at(ctx[1] + OFF_TASK_TGID);
		away.path.kernel = kernel_stacks.get_stackid(ctx, 0);
		away.path.user = user_stacks.get_stackid(ctx, BPF_F_USER_STACK);
		away.path.kind = KIND_OFF;
		if (gone.update(&leaving, &away))
			lose();
	}
	since = gone.lookup(&coming);
	if (!since)
		return 0;
	length = now - since->at;
	struct path path = since->path;
	gone.delete(&coming);
	weigh(&path, length);
	record(path.tgid, KIND_OFF, length);
	return 0;
}
#endif
