/* Softirqs by vector and CPU. One vector never nests in itself on a CPU. In the scope of a pod
 * only those count that ran on top of one of its threads: time that they took away from it. What
 * they took from threads that waited is for stolen.c.
 */
struct softirq_run { u64 at[16]; };
BPF_TABLE("percpu_array", u32, struct softirq_run, softirq_runs, 1);

#ifdef WITH_softirq_begin
/* (unsigned int vec_nr) */
int softirq_begin(u64 *ctx)
{
	u32 zero = 0, vector = ctx[0];
	struct softirq_run *run = softirq_runs.lookup(&zero);
	RAN(softirq_begin);
	if (!run || vector >= 16)
		return 0;
	taking(vector);
#ifndef SPIKE
	if (!current_in_scope())
		return 0;
#endif
	run->at[at_most(vector, 15)] = bpf_ktime_get_ns();
	return 0;
}
#endif
#ifdef WITH_softirq_end
int softirq_end(u64 *ctx)
{
	u32 zero = 0, vector = ctx[0];
	struct softirq_run *run = softirq_runs.lookup(&zero);
	u64 start, length, *at;
	RAN(softirq_end);
	took(vector);
	if (!run || vector >= 16)
		return 0;
	at = &run->at[at_most(vector, 15)];
	start = *at;
	if (!start)
		return 0;
	*at = 0;
	length = bpf_ktime_get_ns() - start;
	record_here(vector, KIND_SOFTIRQ, length);
	keep(vector, KIND_SOFTIRQ, start, length, 0, LONG);
	return 0;
}
#endif
