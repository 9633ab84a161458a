/* Page faults from begin to end, by thread: handle_mm_fault() finds the page, or makes it. One that
 * calls task_numa_fault() is NUMA balancing's, which had only taken the mapping away; what the
 * page's move takes is within it. The key's id is 1 of those, else 0.
 */
struct faulting { u64 at, hint; };
BPF_TABLE("lru_hash", u64, struct faulting, faulting, 16384);

static inline int fault_begin(void)
{
	u64 who = runner();
	struct faulting begin = { .at = bpf_ktime_get_ns() };
	if (current_in_scope() && faulting.update(&who, &begin))
		lose();
	return 0;
}

static inline int fault_end(void)
{
	u64 who = runner();
	struct faulting *begin = faulting.lookup(&who);
	if (!begin)
		return 0;
	record(begin->hint, KIND_FAULT, bpf_ktime_get_ns() - begin->at);
	faulting.delete(&who);
	return 0;
}
#ifdef WITH_fault_fentry
int fault_fentry(u64 *ctx) { RAN(fault_fentry); return fault_begin(); }
#endif
#ifdef WITH_fault_fexit
int fault_fexit(u64 *ctx) { RAN(fault_fexit); return fault_end(); }
#endif
#ifdef WITH_fault_kprobe
int fault_kprobe(void *ctx) { RAN(fault_kprobe); return fault_begin(); }
#endif
#ifdef WITH_fault_kretprobe
int fault_kretprobe(void *ctx) { RAN(fault_kretprobe); return fault_end(); }
#endif

#if defined(WITH_hint_fentry) || defined(WITH_hint_kprobe)
static inline int hinted(void)
{
	u64 who = runner();
	struct faulting *begin = faulting.lookup(&who);
	if (begin)
		begin->hint = 1;
	return 0;
}
#endif
#ifdef WITH_hint_fentry
int hint_fentry(u64 *ctx) { RAN(hint_fentry); return hinted(); }
#endif
#ifdef WITH_hint_kprobe
int hint_kprobe(void *ctx) { RAN(hint_kprobe); return hinted(); }
#endif
