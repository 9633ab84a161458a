"""What an event costs in each kernel program, which is run with arguments of our own.

Needs root, this repository's packages and a Python that can import bcc, on any kernel with BTF
from 5.10: on this machine, or in the agent's container in the lab. Prints JSON.

How it is measured. The programs are compiled as the agent's are and run by BPF_PROG_TEST_RUN:
those for fentry as a raw tracepoint's, which is given its arguments in the same way, so that
no kernel function is needed to which they can be attached. Only task_migrate is attached, for it
reads the task that it is told of. Nanoseconds are run_time_ns / run_cnt of the kernel's BPF
statistics; what these cost themselves is told by a program that does nothing. Caches are warm.
Instructions are what the kernel holds
after verification (xlated), on the longest way through the program, so an event takes at most so
many; what helpers do inside is not among them, and each call counts as one. They are the same
under emulation, whose nanoseconds say little.
"""

import contextlib
import ctypes
import json
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numapin_agent
from numapin_agent.bpf import syscalls
from numapin_agent.bpf.attach import make_maps
from numapin_agent.bpf.btf import Btf
from numapin_agent.bpf.compiler import HEADERS
from numapin_agent.bpf.launch import INTERPRETERS
from numapin_agent.bpf.objects import Object
from numapin_agent.counters import pairs
from numapin_agent.counters.plan import BTF_NAMES, Plan, facts, plan
from numapin_agent.counters.pmu.events import Event, Pair
from numapin_agent.counters.pmu.held import HeldEvents
from numapin_agent.counters.pmu.perf import SOFTWARE
from numapin_agent.counters.pmu.select import Candidate, Pmu
from numapin_agent.counters.signals import CgroupVersion
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError

MOVED, LOCAL = 0x01, 0x08
"""TNF_MIGRATED and TNF_FAULT_LOCAL of include/linux/sched/numa_balancing.h."""
COMPACTION = 0
"""MR_COMPACTION of include/linux/migrate_mode.h: not ours to count."""
KINDS: Final[Mapping[str, tuple[int, CgroupVersion]]] = {
    "2 NUMA nodes": (2, 2),
    "2 NUMA nodes, cgroup v1": (2, 1),
    "4 NUMA nodes": (4, 2),
}
"""Machines that programs are compiled for, whatever this one is; each NUMA node is a socket."""
HERE, CAME, STAYS = (
    "hint fault on a page of this node",
    "hint fault on a page that was migrated",
    "thread moved within a socket",
)
HOT: Final = frozenset({HERE, CAME, STAYS})
"""What happens for every sampled page, and whenever a thread changes CPU."""
_NOTHING: Final = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)
"""r0 = 0; exit"""
_SIZES: Final = {"MAX_CGROUPS": 1024, "MAX_PAIRS": 4096, "DRAM_WHOLE": 0}
_TEST_RUN, _OBJ_INFO = 10, 15
_INSTRUCTION: Final = struct.Struct("=BBhi")
_LOAD_IMMEDIATE_64: Final = 0x18
_JUMP, _JUMP32 = 0x05, 0x06
_ALWAYS, _CALL, _EXIT = 0x00, 0x80, 0x90
_OWN_FUNCTION: Final = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of event costs in one program.

    Attributes:
        program: its name.
        event: for people; empty where the program was not run.
        runs: how often it ran.
        nanoseconds: in all of them; 0 where the kernel's BPF statistics are off.
        instructions: that an event takes at most.
        calls: of helpers among them.
        jited_bytes: of machine code; 0 where the kernel interprets.
        hot: whether such events are many.
    """

    program: str
    event: str
    runs: int
    nanoseconds: int
    instructions: int
    calls: int
    jited_bytes: int
    hot: bool = False


def longest(code: bytes) -> tuple[int, int]:
    """Instructions on the longest way through a program, and the calls among them.

    Args:
        code: instructions of 8 bytes each (instruction-set.rst); a 16-byte one counts as one.

    Raises:
        ValueError: there is a loop or a function of its own, so the longest way is not told.
    """
    count = len(code) // _INSTRUCTION.size
    edges = dict(_edges([_INSTRUCTION.unpack_from(code, 8 * at) for at in range(count)]))
    # Blocks need not stand in the order in which they are run.
    best: dict[int, tuple[int, int]] = {}
    way = [0]
    while way:
        at = way[-1]
        call, following = edges[at]
        left = [to for to in following if to not in best]
        if left:
            if left[0] in way:
                raise ValueError(f"instruction {at} goes back to {left[0]}")
            way.append(left[0])
            continue
        steps, calls = max((best[to] for to in following), default=(0, 0))
        best[at] = steps + 1, calls + call
        way.pop()
    return best[0]


def _edges(
    parts: Sequence[tuple[int, int, int, int]],
) -> Iterator[tuple[int, tuple[bool, tuple[int, ...]]]]:
    """Of each instruction whether it calls a helper, and which may follow it."""
    for at, (opcode, registers, offset, immediate) in enumerate(parts):
        kind, jump = opcode & 0x07, opcode & 0xF0
        call = kind == _JUMP and jump == _CALL
        following: tuple[int, ...] = (at + 1,)
        if call and registers >> 4 == _OWN_FUNCTION:
            raise ValueError(f"instruction {at} calls a function of the program's own")
        if opcode == _LOAD_IMMEDIATE_64:
            following = (at + 2,)
        elif kind == _JUMP and jump == _EXIT:
            following = ()
        elif kind in {_JUMP, _JUMP32} and not call:
            far = immediate if kind == _JUMP32 and jump == _ALWAYS else offset
            following = (at + 1 + far,) if jump == _ALWAYS else (at + 1, at + 1 + far)
        yield at, (call, following)


def in_kernel(program: int) -> tuple[bytes, int]:
    """A loaded program's instructions after verification, and the bytes of its machine code.

    struct bpf_prog_info of uapi/linux/bpf.h, up to xlated_prog_insns.
    """
    info = ctypes.create_string_buffer(40)
    syscalls.bpf(_OBJ_INFO, syscalls.attribute("=IIQ", program, len(info), ctypes.addressof(info)))
    jited, size = struct.unpack_from("=II", info.raw, 16)
    code = ctypes.create_string_buffer(size)
    again = struct.pack("=16xIIQQ", 0, size, 0, ctypes.addressof(code))
    info = ctypes.create_string_buffer(again, len(again))
    syscalls.bpf(_OBJ_INFO, syscalls.attribute("=IIQ", program, len(info), ctypes.addressof(info)))
    return code.raw, jited


def compiled(macros: Mapping[str, int], programs: Iterable[str]) -> Object:
    """Compile by the first Python that has bcc, as the loader child does.

    Raises:
        RuntimeError: none has, or it does not compile.
    """
    code = (
        "import json, sys\n"
        "from numapin_agent.bpf.compiler import build\n"
        "from numapin_agent.counters.loader import source\n"
        "macros, names = json.loads(sys.argv[1])\n"
        "print(build(source(), macros, names, store=None).encode())\n"
    )
    ours = [str(Path(numapin_agent.__file__).parent.parent), *(p for p in sys.path if p)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(ours), "BCC_KERNEL_SOURCE": str(HEADERS)}
    wanted = json.dumps([dict(macros), sorted(programs)])
    said = ""
    for interpreter in dict.fromkeys(INTERPRETERS):
        command = [interpreter, "-c", code, wanted]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        if done.returncode == 0:
            return Object.decode(done.stdout)
        said = done.stderr
    raise RuntimeError(said)


class Programs:
    """All programs, loaded for a machine of so many NUMA nodes.

    Args:
        planned: with which macros.
        made: compiled with them.
        nodes: NUMA nodes, each a socket.
        cpus: possible ones.
    """

    def __init__(self, planned: Plan, made: Object, *, nodes: int, cpus: int) -> None:
        self.macros = planned.macros
        self.cpus = cpus
        self.maps = make_maps(made)
        self.fds = {}
        for name in made.programs:
            kind = syscalls.PROG_PERF_EVENT if name == "dram_switch" else None
            self.fds[name] = syscalls.program_load(
                made.linked(name, list(self.maps.values())),
                name=name,
                program_type=kind or syscalls.PROG_RAW_TRACEPOINT,
            )
        self.fill("node_socket", range(1, nodes + 1))
        self.fill("other_node", pairs.other_nodes(range(nodes)))
        self.sockets([1] * cpus)

    def fill(self, name: str, numbers: Iterable[int]) -> None:
        """Put numbers into an array."""
        for i, number in enumerate(numbers):
            syscalls.map_update(self.maps[name], struct.pack("=I", i), struct.pack("=I", number))

    def sockets(self, of_cpus: Sequence[int]) -> None:
        """Say which socket each CPU belongs to, from 1 on."""
        self.fill("cpu_socket", of_cpus)

    def close(self) -> None:
        """Let go of everything."""
        for fd in (*self.maps.values(), *self.fds.values()):
            os.close(fd)


def run(program: int, *words: int) -> None:
    """Run a raw tracepoint program once in this thread, with these arguments."""
    ctx = ctypes.create_string_buffer(struct.pack(f"={len(words)}Q", *words))
    syscalls.bpf(
        _TEST_RUN,
        syscalls.attribute(
            "=IIIIQQIIIIQQII",
            *(program, 0, 0, 0, 0, 0, 0, 0, 8 * len(words), 0),
            *(ctypes.addressof(ctx), 0, 0, 0),
        ),
    )


def nothing(repeats: int) -> tuple[int, int]:
    """Runs of a program that does nothing, and what the statistics say that they took."""
    kind = syscalls.PROG_RAW_TRACEPOINT
    program = syscalls.program_load(_NOTHING, name="nothing", program_type=kind)
    for _ in range(repeats):
        run(program, 0)
    info = syscalls.program_info(program)
    os.close(program)
    return info.runs, info.run_nanoseconds


@contextlib.contextmanager
def loaded(nodes: int, cgroup_version: CgroupVersion) -> Iterator[Programs]:
    """The programs that this kernel offers something to, loaded for such a machine."""
    host = HostPaths()
    planned = plan(
        facts(Btf(host.btf.read_bytes(), BTF_NAMES), platform.machine()),
        always_crosses=True,
        nodes=nodes,
        cgroup_version=cgroup_version,
    )
    attempts = [a for s in planned.signals for a in s.attempts]
    # For kprobes the same code reads its arguments from registers, which no test run gives it.
    names = {p.name for a in attempts for p in a.programs if p.kind != "kprobe"}
    cpus = 1 + max(CpuSet.parse((host.cpu_dir / "possible").read_text()))
    made = compiled({**planned.macros, **_SIZES, "MAX_CPUS": cpus}, names)
    ours = Programs(planned, made, nodes=nodes, cpus=cpus)
    try:
        yield ours
    finally:
        ours.close()


Runs = Sequence[tuple[str, tuple[int, ...]]]


def events(macros: Mapping[str, int]) -> Mapping[str, Runs]:
    """By event the programs that it runs, in their order, with their arguments."""
    last = macros.get("MIGRATE_END_REASON_ARG", 0)

    def ended(pages: int, reason: int) -> tuple[int, ...]:
        return (pages, *[0] * (last - 1), reason)

    numa, syscall = macros.get("REASON_NUMA", 0), macros.get("REASON_SYSCALL", 0)
    return {
        HERE: [("hint_fentry", (0, 0, 1, LOCAL))],
        CAME: [("hint_fentry", (0, 0, 1, MOVED))],
        "page migrated by NUMA balancing": [
            ("migrate_start", (0, numa)),
            ("misplaced_fentry", (0, 0, 0)),
            ("migrate_end", ended(1, numa)),
        ],
        "page migrated for compaction": [
            ("migrate_start", (0, COMPACTION)),
            ("migrate_end", ended(1, COMPACTION)),
        ],
        "page moved by a system call": [("migrate_end", ended(1, syscall))],
        "pages moved by another thread than cpuset's": [("cpuset_move_fentry", (0,))],
        "thread left alone by the NUMA scanner": [("scan_skip", (0, 0))],
    }


def measured(programs: Programs, repeats: int) -> Iterator[Cost]:
    """What each event costs in each of its programs."""
    for event, runs in events(programs.macros).items():
        there = [(name, words) for name, words in runs if name in programs.fds]
        with counted(programs, dict.fromkeys(name for name, _ in there), event) as costs:
            for _ in range(repeats):
                for name, words in there:
                    run(programs.fds[name], *words)
        yield from costs
    yield from _hops(programs, repeats)
    yield from _dram(programs, repeats)


@contextlib.contextmanager
def counted(programs: Programs, names: Iterable[str], event: str) -> Iterator[list[Cost]]:
    """Costs of what is done meanwhile, which are there when it is over."""
    costs: list[Cost] = []
    before = {name: syscalls.program_info(programs.fds[name]) for name in names}
    yield costs
    for name, was in before.items():
        now = syscalls.program_info(programs.fds[name])
        code, jited = in_kernel(programs.fds[name])
        spent = now.run_nanoseconds - was.run_nanoseconds
        runs, hot = now.runs - was.runs, event in HOT
        costs.append(Cost(name, event, runs, spent, *longest(code), jited, hot))


def _hops(programs: Programs, repeats: int) -> Iterator[Cost]:
    """Threads that change CPU, which the scheduler itself reports."""
    cpus = sorted(os.sched_getaffinity(0))
    if "task_migrate" not in programs.fds or len(cpus) < 2:
        return
    for event, sockets in (
        (STAYS, [1] * programs.cpus),
        ("thread moved between sockets", [1 + (cpu == cpus[1]) for cpu in range(programs.cpus)]),
    ):
        programs.sockets(sockets)
        link = syscalls.raw_tracepoint_open(programs.fds["task_migrate"], "sched_migrate_task")
        with counted(programs, ["task_migrate"], event) as costs:
            for i in range(repeats):
                os.sched_setaffinity(0, {cpus[i % 2]})
        os.close(link)
        os.sched_setaffinity(0, set(cpus))
        yield from costs


def _dram(programs: Programs, repeats: int) -> Iterator[Cost]:
    """Two counters read and added to a cgroup; software events in the place of the PMU's."""
    cpu = min(os.sched_getaffinity(0))
    maps = (programs.maps[name] for name in ("dramEvents", "dramReadings"))
    fds = (programs.fds[name] for name in ("dram_switch", "dram_flush"))
    faults = Pair("page-faults and minor-faults", Event(2), Event(5))
    held = HeldEvents(Candidate(faults, (Pmu("software", SOFTWARE),)), *maps, *fds, programs.cpus)
    try:
        held.follow([cpu])
    except CounterError as error:
        sys.stderr.write(f"dram_flush and dram_switch are not run: {error}\n")
        return
    event = "switch between cgroups, with software events"
    with counted(programs, ["dram_flush"], event) as costs:
        for _ in range(repeats):
            syscalls.program_run(programs.fds["dram_flush"], cpu=cpu)
    held.follow([])
    yield from costs


def unrun(programs: Programs, ran: Iterable[Cost]) -> Iterator[Cost]:
    """Programs that no event was made for: how long they are can be told all the same."""
    for name in sorted(programs.fds.keys() - {cost.program for cost in ran}):
        code, jited = in_kernel(programs.fds[name])
        yield Cost(name, "", 0, 0, *longest(code), jited)


def main() -> None:
    """Measure; the argument is how often each event is made."""
    repeats = int(sys.argv[1])
    found: dict[str, list[dict[str, object]]] = {}
    for kind, machine in KINDS.items():
        with loaded(*machine) as programs:
            costs = list(measured(programs, repeats))
            costs += unrun(programs, costs)
        found[kind] = [asdict(cost) for cost in costs]
    runs, nanoseconds = nothing(repeats)
    said = {"kernel": platform.release(), "kinds": found}
    print(json.dumps(said | {"nothing": {"runs": runs, "nanoseconds": nanoseconds}}))


if __name__ == "__main__":
    main()
