"""Calls a function's programs by hand, one call within another: run by an interpreter with bcc.

Not every machine lets functions be hooked. Loaded as programs of a raw tracepoint they can be run
by hand, all in one thread. Prints JSON: by pair of programs and course of calls how many were
counted, and the longest in nanoseconds.
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
COURSES = {
    "one after the other": "( ) ( )",
    "within itself": "( . ( ) )",
    "many deep": "( . ( ( ( ) ) ) )",
    "return of the inner not seen": "( . ( ) ( ( ) )",
    "begun before": ") ) ( . )",
    "never seen to return": "( " * 9 + "( . ) ( . )",
}
"""Begins and ends; a dot is a time that passes."""
SLEEP_SECONDS = 0.02


def call(program: int) -> None:
    """BPF_PROG_TEST_RUN of a raw tracepoint."""
    passed = (ctypes.c_uint64 * 1)(0)
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
            made.linked(f"function_{name}", [*maps.values()]),
            name=name,
            program_type=syscalls.PROG_RAW_TRACEPOINT,
        )
        for end, name in (("(", kind), (")", PAIRS[kind]))
    }
    for step in COURSES[course].split():
        if step == ".":
            time.sleep(SLEEP_SECONDS)
        else:
            call(loaded[step])
    return next(iter(histograms(maps, cpus=cpus).values()), Histogram())


def main() -> None:
    question = Question("function", "vfs_read")
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
    programs = [f"function_{end}" for pair in PAIRS.items() for end in pair]
    macros = {**planned.macros, **{f"N_{name}": i for i, name in enumerate(programs)}}
    made = build(text, macros, programs, store=None)
    print(
        json.dumps({
            kind: {
                name: (found.count, found.maximum)
                for name in COURSES
                for found in [counted(kind, name, made, cpus)]
            }
            for kind in PAIRS
        }),
        flush=True,
    )  # fmt: skip
    os._exit(0)


if __name__ == "__main__":
    main()
