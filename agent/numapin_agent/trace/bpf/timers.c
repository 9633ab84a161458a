/* Timer callbacks, by kernel function. A timer never runs twice at once, so that its address
 * finds the begin; the callback may free it, so it is not looked at when it ends. In the scope
 * of a pod only callbacks count that ran on top of one of its threads.
 */
struct timer_run { u64 at, function; };
BPF_TABLE("hash", u64, struct timer_run, timer_runs, 4096);

static inline int timer_begin(u64 timer, u64 function)
{
	struct timer_run run = { .function = function, .at = bpf_ktime_get_ns() };
#ifndef SPIKE
	if (!current_in_scope()) {
		/* of an end that was missed, as within the same program on that CPU */
		timer_runs.delete(&timer);
		return 0;
	}
#endif
	if (timer_runs.update(&timer, &run))
		lose();
	return 0;
}

static inline int timer_end(u64 timer, u32 kind)
{
	struct timer_run *run = timer_runs.lookup(&timer);
	u64 length, start, function;
	if (!run)
		return 0;
	start = run->at;
	function = run->function;
	length = bpf_ktime_get_ns() - start;
	timer_runs.delete(&timer);
	record(function, kind, length);
	keep(function, kind, start, length, 0, LONG);
	return 0;
}

#ifdef WITH_timer_entry
/* (struct timer_list *timer, unsigned long baseclk) */
int timer_entry(u64 *ctx)
{
	RAN(timer_entry);
	return timer_begin(ctx[0], pointer_at(ctx[0] + OFF_TIMER_FUNCTION));
}
#endif
#ifdef WITH_timer_exit
int timer_exit(u64 *ctx)
{
	RAN(timer_exit);
	return timer_end(ctx[0], KIND_TIMER);
}
#endif
#ifdef WITH_hrtimer_entry
/* (struct hrtimer *timer, ktime_t *now) */
int hrtimer_entry(u64 *ctx)
{
	RAN(hrtimer_entry);
	return timer_begin(ctx[0], pointer_at(ctx[0] + OFF_HRTIMER_FUNCTION));
}
#endif
#ifdef WITH_hrtimer_exit
int hrtimer_exit(u64 *ctx)
{
	RAN(hrtimer_exit);
	return timer_end(ctx[0], KIND_HRTIMER);
}
#endif
