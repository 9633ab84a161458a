/* System calls by number, with what the slow ones were about: a descriptor or a path. */
#define ABOUT_DESCRIPTOR 1
#define ABOUT_PATH0 2
#define ABOUT_PATH1 3
#define WAITS 16

struct call { u64 at, number, argument; };
BPF_TABLE("lru_hash", u64, struct call, calls, 16384);
/* Per system call ABOUT_* and whether it waits by design; by answers.ABOUT. */
BPF_TABLE("array", u32, u32, about, 1024);

#ifdef WITH_call_enter
/* (struct pt_regs *regs, long id) */
int call_enter(u64 *ctx)
{
	u64 who = runner();
	u32 number = ctx[1], *known = about.lookup(&number);
	struct call call = { .at = bpf_ktime_get_ns(), .number = number };
	RAN(call_enter);
	if (!current_in_scope())
		return 0;
#ifdef SPIKE
	if (known && (*known & WAITS)) {
		calls.delete(&who);
		return 0;
	}
#endif
	if (known && (*known & 15))
		call.argument = pointer_at(ctx[0] + ((*known & 15) == ABOUT_PATH1 ? OFF_SYSARG1 : OFF_SYSARG0));
	if (calls.update(&who, &call))
		lose();
	return 0;
}
#endif
#ifdef WITH_call_exit
/* (struct pt_regs *regs, long ret) */
int call_exit(u64 *ctx)
{
	u64 who = runner(), identity;
	struct call *found = calls.lookup(&who), call;
	struct moment moment = {};
	u32 number, *known;
	RAN(call_exit);
	if (!found)
		return 0;
	call = *found;
	calls.delete(&who);
	number = call.number;
	moment.length = bpf_ktime_get_ns() - call.at;
	record(number, KIND_SYSCALL, moment.length);
	known = about.lookup(&number);
	if (moment.length < setting(SET_LONG) || (known && (*known & WAITS)))
		return 0;
	identity = bpf_get_current_pid_tgid();
	moment.start = call.at;
	moment.id = number;
	moment.kind = KIND_SYSCALL;
	moment.cpu = bpf_get_smp_processor_id();
	moment.tid = identity;
	moment.tgid = identity >> 32;
	moment.extra = call.argument;
	if (known && (*known & 15) >= ABOUT_PATH0) {
		bpf_probe_read_user_str(moment.text, sizeof(moment.text), (void *)call.argument);
		moment.extra = 0;
	}
	if (moments.push(&moment, 0))
		lose();
	return 0;
}
#endif
