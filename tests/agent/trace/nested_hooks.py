"""Calls netfilter's programs by hand, one hook within another: run by an interpreter with bcc.

Hooks that nest need IPVS or a bridge, and not every machine lets functions be hooked. Loaded as
programs of a raw tracepoint they can be run with arguments of our own. Prints JSON: by pair of
programs and course of calls how many were counted, and the longest in nanoseconds.
"""

import ctypes
import json
import os
import time
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.attach import make_maps
from numapin_agent.bpf.btf import Btf
from numapin_agent.bpf.compiler import build
from numapin_agent.bpf.objects import Object
from numapin_agent.trace.facts import facts, names
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.loader import BPF_DIR
from numapin_agent.trace.plan import plan
from numapin_agent.trace.question import Question
from numapin_agent.trace.read import histograms

PAIRS = {"fentry": "fexit", "kprobe": "kretprobe"}
OUTER, INNER = 0x1000, 0x2000
COURSES = {
    "one after the other": (("begin", OUTER), ("end", OUTER), ("begin", OUTER), ("end", OUTER)),
    "nested": (("begin", OUTER), ("begin", INNER), ("end", INNER), ("end", OUTER)),
    "two nested": (
        *(("begin", OUTER), ("begin", INNER), ("end", INNER)),
        *(("begin", INNER), ("end", INNER), ("end", OUTER)),
    ),
}
"""Of a hook: its end or begin, and the address of its state; times pass after the first."""
SLEEP_SECONDS = 0.02


def call(program: int, state: int) -> None:
    """BPF_PROG_TEST_RUN of a raw tracepoint, with (skb, state, entries) as its arguments."""
    passed = (ctypes.c_uint64 * 3)(0, state, 0)
    size = ctypes.sizeof(passed)
    syscalls.bpf(
        10,
        syscalls.attribute(
            "=IIIIQQIIIIQQII",
            *(program, 0, 0, 0, 0, 0, 0, 0),
            *(size, 0, ctypes.addressof(passed), 0, 0, 0),
        ),
    )


def counted(kind: str, course: str, made: Object, cpus: int) -> Histogram:
    maps = make_maps(made)
    loaded = {
        end: syscalls.program_load(
            made.linked(f"hook_{name}", [*maps.values()]),
            name=name,
            program_type=syscalls.PROG_RAW_TRACEPOINT,
        )
        for end, name in (("begin", kind), ("end", PAIRS[kind]))
    }
    for i, (end, state) in enumerate(COURSES[course]):
        call(loaded[end], state)
        if i == 0:
            time.sleep(SLEEP_SECONDS)
    return next(iter(histograms(maps, cpus=cpus).values()), Histogram())


def main() -> None:
    question = Question("netfilter")
    btf = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes(), names(question))
    last = Path("/sys/devices/system/cpu/possible").read_text().split("-")[-1]
    cpus = int(last) + 1
    planned = plan(
        question,
        facts(btf, question, os.uname().machine),
        scoped=False,
        cpus=cpus,
        map_bytes=16 << 20,
        numa_nodes=1,
    )
    text = "\n".join((BPF_DIR / f"{name}.c").read_text() for name in planned.sources)
    programs = [f"hook_{end}" for pair in PAIRS.items() for end in pair]
    macros = {
        **planned.macros,
        **{f"N_{name}": i for i, name in enumerate(programs)},
        **{f"OFF_ARG{i}": 8 * i for i in range(3)},
    }
    made = build(text, macros, programs, store=None)
    found = {kind: {name: counted(kind, name, made, cpus) for name in COURSES} for kind in PAIRS}
    told = {
        kind: {course: (one.count, one.maximum) for course, one in courses.items()}
        for kind, courses in found.items()
    }
    print(json.dumps(told), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
