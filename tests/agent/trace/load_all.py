"""Compiles a probe and loads all its programs, attaching none: run by an interpreter with bcc.

So that the kernel's verifier sees the alternatives that this machine can't attach, too. Prints
JSON: what was loaded, and what was refused with the verifier's words.
"""

import json
import os
import sys
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.trace.loader import prepare
from numapin_agent.trace.question import Question, Scope, Task

TYPES = {
    "kprobe": syscalls.PROG_KPROBE,
    "kretprobe": syscalls.PROG_KPROBE,
    "rawTracepoint": syscalls.PROG_RAW_TRACEPOINT,
    "perfEvent": syscalls.PROG_PERF_EVENT,
}


def main() -> None:
    probe, stacks = sys.argv[1], sys.argv[2] == "1"
    question = Question(probe, "vfs_read" if probe == "function" else None, stacks=stacks)
    task = Task(
        question=question,
        scope=Scope("x", 1, 1),
        btf="/sys/kernel/btf/vmlinux",
        kprobe_pmu="/nowhere",
        machine=os.uname().machine,
        cpus=len(list(Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))),
        online=(0,),
        map_bytes=16 << 20,
        store=None,
        numa_nodes=(0, 1, 2, 3),
        macros={},
    )
    made, compiled, maps = prepare(task)
    loaded, refused = [], {}
    for program in made.programs():
        if program.kind in TYPES:
            code = compiled.linked(program.name, [*maps.values()])
            try:
                syscalls.program_load(code, name=program.name, program_type=TYPES[program.kind])
            except OSError as error:
                refused[program.name] = str(error)
            else:
                loaded.append(program.name)
    print(json.dumps({"loaded": loaded, "refused": refused}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
