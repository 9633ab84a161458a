/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What all latency probes share: whose event it is, histograms, single long events, stacks.
 *
 * Compiled by bcc without kernel headers, before the probe's own file: OFF_* are offsets from
 * BTF, N_<program> the place of a program's runs in `ran`. Structs are mirrored in
 * histogram.py and records.py. What depends on the question is in `settings`, not in macros,
 * so that a compiled object serves the next question, too.
 */
#include <linux/types.h>

#define SLOTS 40
#define SET_CGROUP 0
#define SET_LEVEL 1
#define SET_LONG 2
#define SET_PART 3
#define SET_TWO_NODES 4
#define SET_OPEN 5

#define KIND_TIMER 1
#define KIND_HRTIMER 2
#define KIND_SOFTIRQ 3
#define KIND_HARDIRQ 4
#define KIND_VECTOR 5
#define KIND_QUEUED 6
#define KIND_OFF 7
#define KIND_SYSCALL 8
#define KIND_FUNCTION 9
#define KIND_NETFILTER 10
#define KIND_RECEIVE 11
#define KIND_MIGRATION 12
#define KIND_STOLEN 13
#define KIND_FAULT 14

struct key { u64 id; u32 kind; u32 cpu; };
struct hist { u64 count, total, max, slots[SLOTS]; };
struct moment { u64 start, length, id, extra; u32 kind, cpu, tid, tgid; char text[64]; };
struct path { u32 tgid; s32 user, kernel; u32 kind; };
struct weight { u64 count, nanoseconds; };

BPF_TABLE("array", u32, u64, settings, 6);
BPF_TABLE("percpu_array", u32, u64, ran, 48);
BPF_TABLE("percpu_array", u32, u64, lost, 1);
/* Never written: what a new key begins with. On a program's stack it would fill two thirds. */
BPF_TABLE("array", u32, struct hist, blank, 1);
BPF_TABLE("percpu_hash", struct key, struct hist, hists, MAX_KEYS);
/* What is told by CPU has it in its key; a value for every CPU there would be empty but for one. */
BPF_TABLE("hash", struct key, struct hist, cpu_hists, MAX_CPU_KEYS);
BPF_QUEUE(moments, struct moment, MAX_MOMENTS);

/* An index that the verifier sees to be at most a mask, of 2^n - 1: the compiler, which knows it to
 * be small from a comparison before, would leave the AND out and compare another register.
 */
static inline u32 at_most(u32 index, u32 mask)
{
	asm volatile("" : "+r"(index));
	return index & mask;
}

static inline void add_at(u32 where)
{
	u64 *n = ran.lookup(&where);
	if (n)
		*n += 1;
}
static inline void lose(void)
{
	u32 zero = 0;
	u64 *n = lost.lookup(&zero);
	if (n)
		*n += 1;
}

static inline u64 setting(u32 which)
{
	u64 *value = settings.lookup(&which);
	return value ? *value : 0;
}

/* What each program does first. Programs attach one after the other: until all are there, and
 * somebody says so, a begin whose end nobody sees would be taken up by another's end.
 */
#define RAN(program) do { if (!setting(SET_OPEN)) return 0; add_at(N_##program); } while (0)

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

/* Whether a task belongs to the cgroup asked about, or to one below it. */
static inline bool in_scope(u64 task)
{
#if defined(OFF_TASK_CGROUPS) && defined(OFF_CSS_SET_DFL) && defined(OFF_CGROUP_LEVEL)
	u64 wanted = setting(SET_CGROUP), level = setting(SET_LEVEL), cgroup, css_set;
	if (!wanted)
		return 1;
	css_set = pointer_at(task + OFF_TASK_CGROUPS);
	cgroup = css_set ? pointer_at(css_set + OFF_CSS_SET_DFL) : 0;
	if (!cgroup || word_at(cgroup + OFF_CGROUP_LEVEL) < level)
		return 0;
#if defined(OFF_CGROUP_ANCESTORS) && defined(OFF_CGROUP_KN) && defined(OFF_KN_ID)
	cgroup = pointer_at(cgroup + OFF_CGROUP_ANCESTORS + 8 * level);
	cgroup = cgroup ? pointer_at(cgroup + OFF_CGROUP_KN) : 0;
	return cgroup && pointer_at(cgroup + OFF_KN_ID) == wanted;
#elif defined(OFF_CGROUP_ANCESTOR_IDS)
	return pointer_at(cgroup + OFF_CGROUP_ANCESTOR_IDS + 8 * level) == wanted;
#else
	return 0;
#endif
#else
	return !setting(SET_CGROUP);
#endif
}

static inline bool current_in_scope(void)
{
	return in_scope((u64)bpf_get_current_task());
}

/* A number for what runs here: the thread, or the CPU when that is idle. */
static inline u64 runner(void)
{
	u32 thread = bpf_get_current_pid_tgid();
	return thread ? thread : (1ULL << 32 | bpf_get_smp_processor_id());
}

static inline u32 bits(u64 value)
{
	u32 found = 0;
	if (value >> 32) { found += 32; value >>= 32; }
	if (value >> 16) { found += 16; value >>= 16; }
	if (value >> 8) { found += 8; value >>= 8; }
	if (value >> 4) { found += 4; value >>= 4; }
	if (value >> 2) { found += 2; value >>= 2; }
	if (value >> 1) { found += 1; value >>= 1; }
	return found + (value != 0);
}

static inline void add_to(struct hist *hist, u64 length)
{
	u32 slot = bits(length);
	if (!hist) {
		lose();
		return;
	}
	hist->count += 1;
	hist->total += length;
	if (length > hist->max)
		hist->max = length;
	if (slot >= SLOTS)
		slot = SLOTS - 1;
	hist->slots[slot] += 1;
}

static inline void record(u64 id, u32 kind, u64 length)
{
	struct key key = { .id = id, .kind = kind };
	struct hist *none, *hist = 0;
	u32 zero = 0;
	none = blank.lookup(&zero);
	if (none)
		hist = hists.lookup_or_try_init(&key, none);
	add_to(hist, length);
}

/* The same, told by CPU. Only this one writes to it, and nothing of one key nests in itself. */
static inline void record_here(u64 id, u32 kind, u64 length)
{
	struct key key = { .id = id, .kind = kind, .cpu = bpf_get_smp_processor_id() };
	struct hist *none, *hist = 0;
	u32 zero = 0;
	none = blank.lookup(&zero);
	if (none)
		hist = cpu_hists.lookup_or_try_init(&key, none);
	add_to(hist, length);
}

/* A single event that took long enough to be kept as such. */
static inline void keep(u64 id, u32 kind, u64 start, u64 length, u64 extra, u32 least)
{
	struct moment moment = {};
	u64 who;
	if (length < setting(least))
		return;
	who = bpf_get_current_pid_tgid();
	moment.start = start;
	moment.length = length;
	moment.id = id;
	moment.extra = extra;
	moment.kind = kind;
	moment.cpu = bpf_get_smp_processor_id();
	moment.tid = who;
	moment.tgid = who >> 32;
	if (moments.push(&moment, 0))
		lose();
}

#ifdef WITH_STACKS
/* bcc's BPF_STACK_TRACE rounds by a macro of the kernel's headers; MAX_STACKS is a power of two */
BPF_TABLE("stacktrace", int, struct bpf_stacktrace, user_stacks, MAX_STACKS);
BPF_TABLE("stacktrace", int, struct bpf_stacktrace, kernel_stacks, MAX_STACKS / 4);
BPF_TABLE("hash", struct path, struct weight, paths, MAX_PATHS);

static inline void weigh(struct path *path, u64 nanoseconds)
{
	struct weight zero = {}, *weight = paths.lookup_or_try_init(path, &zero);
	if (!weight) {
		lose();
		return;
	}
	__sync_fetch_and_add(&weight->count, 1);
	__sync_fetch_and_add(&weight->nanoseconds, nanoseconds);
}
#endif
/* Which events are long enough: the whole threshold, or in `spike` a part of it. */
#ifdef SPIKE
#define LONG SET_PART
#else
#define LONG SET_LONG
#endif
