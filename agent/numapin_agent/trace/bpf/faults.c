/* Page faults with the stacks that made them: the software event that perf has for it, which
 * counts what /proc/vmstat counts, or tracepoints of x86, which fire for every attempt.
 *
 * To walk a user's stack can fault, too; such a fault of our own is none of the pod's.
 */
BPF_TABLE("percpu_array", u32, u32, walking, 1);

static inline int faulted(void *ctx)
{
	struct path path = {};
	u32 zero = 0, *busy = walking.lookup(&zero);
	if (!busy || *busy || !current_in_scope())
		return 0;
	*busy = 1;
	path.tgid = bpf_get_current_pid_tgid() >> 32;
	path.kernel = kernel_stacks.get_stackid(ctx, 0);
	path.user = user_stacks.get_stackid(ctx, BPF_F_USER_STACK);
	*busy = 0;
	weigh(&path, 0);
	return 0;
}

#ifdef WITH_fault_user
/* (unsigned long address, struct pt_regs *regs, unsigned long error_code) */
int fault_user(u64 *ctx) { RAN(fault_user); return faulted(ctx); }
#endif
#ifdef WITH_fault_kernel
/* the kernel faulting at an address of its own is no page fault of the pod */
int fault_kernel(u64 *ctx)
{
	RAN(fault_kernel);
	return ctx[0] >> 63 ? 0 : faulted(ctx);
}
#endif
#ifdef WITH_fault_event
int fault_event(void *ctx) { RAN(fault_event); return faulted(ctx); }
#endif
