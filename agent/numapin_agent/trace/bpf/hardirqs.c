/* Hard interrupts: handlers of devices by irq number, and on x86 the vectors without one
 * (local timer, rescheduling, function calls), each by CPU. None nests in another on a CPU.
 */
struct irq_here { u32 which, cpu; };
BPF_TABLE("hash", struct irq_here, u64, irq_runs, MAX_CPU_KEYS);

#define VECTOR 0x80000000

static inline int irq_begin(u32 which)
{
	struct irq_here here = { .which = which, .cpu = bpf_get_smp_processor_id() };
	u64 now = bpf_ktime_get_ns(), *at;
	taking(0);
#ifndef SPIKE
	if (!current_in_scope())
		return 0;
#endif
	at = irq_runs.lookup_or_try_init(&here, &now);
	if (at)
		*at = now;
	else
		lose();
	return 0;
}

static inline int irq_end(u32 which)
{
	struct irq_here here = { .which = which, .cpu = bpf_get_smp_processor_id() };
	u32 kind = which & VECTOR ? KIND_VECTOR : KIND_HARDIRQ;
	u64 start, length, id = which & ~VECTOR, *at = irq_runs.lookup(&here);
	took(0);
	if (!at || !*at)
		return 0;
	start = *at;
	*at = 0;
	length = bpf_ktime_get_ns() - start;
	record_here(id, kind, length);
	keep(id, kind, start, length, 0, LONG);
	return 0;
}

#ifdef WITH_irq_entry
/* (int irq, struct irqaction *action) */
int irq_entry(u64 *ctx) { RAN(irq_entry); return irq_begin((u32)ctx[0] & ~VECTOR); }
#endif
#ifdef WITH_irq_exit
int irq_exit(u64 *ctx) { RAN(irq_exit); return irq_end((u32)ctx[0] & ~VECTOR); }
#endif
/* (int vector); the number here is the place in plan.VECTORS, not the vector's own */
#ifdef WITH_vector_0_entry
int vector_0_entry(u64 *ctx) { RAN(vector_0_entry); return irq_begin(0 | VECTOR); }
int vector_0_exit(u64 *ctx) { RAN(vector_0_exit); return irq_end(0 | VECTOR); }
#endif
#ifdef WITH_vector_1_entry
int vector_1_entry(u64 *ctx) { RAN(vector_1_entry); return irq_begin(1 | VECTOR); }
int vector_1_exit(u64 *ctx) { RAN(vector_1_exit); return irq_end(1 | VECTOR); }
#endif
#ifdef WITH_vector_2_entry
int vector_2_entry(u64 *ctx) { RAN(vector_2_entry); return irq_begin(2 | VECTOR); }
int vector_2_exit(u64 *ctx) { RAN(vector_2_exit); return irq_end(2 | VECTOR); }
#endif
#ifdef WITH_vector_3_entry
int vector_3_entry(u64 *ctx) { RAN(vector_3_entry); return irq_begin(3 | VECTOR); }
int vector_3_exit(u64 *ctx) { RAN(vector_3_exit); return irq_end(3 | VECTOR); }
#endif
#ifdef WITH_vector_4_entry
int vector_4_entry(u64 *ctx) { RAN(vector_4_entry); return irq_begin(4 | VECTOR); }
int vector_4_exit(u64 *ctx) { RAN(vector_4_exit); return irq_end(4 | VECTOR); }
#endif
