"""The short-lived child that compiles with bcc, attaches, hands the descriptors over and exits.

Run as ``python3 -m numapin_agent.counters.loader FD`` by whichever interpreter can import bcc;
uses nothing but bcc and the standard library. bcc only compiles: maps are made and programs
loaded and attached by ``syscalls``, which works alike for every bcc from 0.26 to 0.37 and
tells each refusal apart. The programs live as long as the descriptors, so they end with the
agent, not with this process.
"""

import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.attach import attach, make_maps, need_bpf, refusal
from numapin_agent.bpf.btf import Btf, BtfError
from numapin_agent.bpf.child import peak_rss_bytes, run
from numapin_agent.bpf.compiler import CompileError, build
from numapin_agent.bpf.objects import Object
from numapin_agent.bpf.programs import Program
from numapin_agent.bpf.wire import send
from numapin_agent.counters.plan import BTF_NAMES, Attempt, Plan, SignalPlan, facts, plan
from numapin_agent.counters.request import Request
from numapin_agent.counters.signals import FIELDS

_SHARED_MAPS = ("totals", "cpu_socket", "node_socket", "other_node", "nodePairs")
_OWN_MAPS = {"remoteDram": ("dramReadings", "dramEvents")}
_BPF_DIR = Path(__file__).parent / "bpf"
_SOURCES = ("programs.c", "dram.c")
"""Compiled as one file, in this order."""


def source() -> str:
    """The programs that count, in C."""
    return "".join((_BPF_DIR / name).read_text() for name in _SOURCES)


class Refused(Exception):  # noqa: N818 — never leaves this module
    """An attempt failed; the text says why."""


@dataclass(slots=True)
class Unit:
    """Programs compiled together, and the maps that they share."""

    request: Request
    made: Object
    maps: dict[str, int]
    links: dict[Program, tuple[int, ...]] = field(default_factory=dict)
    refused: dict[Program, str] = field(default_factory=dict)
    handed: set[str] = field(default_factory=set)

    def attach(self, attempt: Attempt) -> None:
        """Load and attach an attempt's programs.

        Raises:
            Refused: the kernel took one of them not.
        """
        for program in attempt.programs:
            if program in self.links:
                continue
            if program in self.refused:
                raise Refused(self.refused[program])
            code = self.made.linked(program.name, list(self.maps.values()))
            try:
                fd, links = attach(program, code, kprobe_pmu=self.request.kprobe_pmu)
            except OSError as error:
                self.refused[program] = refusal(program, error)
                raise Refused(self.refused[program]) from error
            self.links[program] = (fd, *links)

    def fill(self) -> None:
        """Tell the programs which socket each CPU and NUMA node belongs to, and of two nodes."""
        for name, sockets in (
            ("cpu_socket", self.request.cpu_sockets),
            ("node_socket", self.request.node_sockets),
            ("other_node", self.request.other_nodes),
        ):
            if name in self.maps:
                for number, index in enumerate(sockets):
                    key, value = struct.pack("=I", number), struct.pack("=I", index)
                    syscalls.map_update(self.maps[name], key, value)

    def descriptors(self, signal_name: str, attempt: Attempt) -> dict[str, int]:
        """By role, what the parent needs for a signal and has not been given yet."""
        names = [signal_name, *_OWN_MAPS.get(signal_name, ())]
        names += [name for name in _SHARED_MAPS if name in self.maps]
        fds = {f"map:{name}": self.maps[name] for name in names}
        for program in attempt.programs:
            # a program that the agent attaches has no link yet
            for role, fd in zip(("program", "link"), self.links[program], strict=False):
                fds[f"{role}:{program.name}"] = fd
        fresh = {role: fd for role, fd in fds.items() if role not in self.handed}
        self.handed |= fresh.keys()
        return fresh


@dataclass(slots=True)
class Pending:
    """A signal that is not had yet: its plan, and what became of the attempts so far."""

    plan: SignalPlan
    tried: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def attempt(self) -> Attempt | None:
        """The next to try, None when none is left."""
        return next(iter(self.plan.attempts[self.tried :]), None)

    @property
    def reason(self) -> str | None:
        """Why no better attempt is in force."""
        caveat = self.attempt.caveat if self.attempt is not None else None
        why = [caveat] if caveat else []
        return "; ".join(dict.fromkeys([*why, *self.failures])) or self.plan.reason

    def fail(self, why: str) -> None:
        """Go on to the next attempt."""
        self.failures.append(why)
        self.tried += 1


def make_unit(request: Request, prepared: Plan, attempts: Sequence[Attempt]) -> Unit:
    """Compile the programs of these attempts, or take them from the store, and make their maps.

    Raises:
        Refused: the compiler's or the kernel's own words.
        NoCompilerError: they must be compiled and can't be.
    """
    macros = {**prepared.macros, **request.macros}
    macros |= {
        "MAX_CPUS": max(1, len(request.cpu_sockets)),
        "MAX_CGROUPS": request.max_cgroups,
        "MAX_PAIRS": request.max_pairs,
    }
    store = Path(request.store) if request.store is not None else None
    try:
        names = {p.name for a in attempts for p in a.programs}
        made = build(source(), macros, names, store=store)
        unit = Unit(request, made, make_maps(made))
        unit.fill()
    except (CompileError, OSError) as error:
        raise Refused(str(error)) from error
    return unit


def prepare(request: Request) -> Plan:
    """Read BTF and plan.

    Raises:
        Refused: no BTF, no right to use BPF.
    """
    try:
        need_bpf()
    except OSError as error:
        raise Refused(str(error.strerror)) from error
    try:
        btf = Btf(Path(request.btf).read_bytes(), BTF_NAMES)
    except (OSError, BtfError) as error:
        raise Refused(f"the kernel's types can't be read: {error}") from error
    return plan(
        facts(btf, request.machine),
        always_crosses=request.always_crosses,
        nodes=request.nodes,
        cgroup_version=request.cgroup_version,
        no_dram=request.no_dram,
    )


def units(
    request: Request, prepared: Plan, wanted: Sequence[tuple[Pending, Attempt]]
) -> Iterable[tuple[Unit, Sequence[tuple[Pending, Attempt]]]]:
    """These attempts in one compilation, or, when that fails, each in its own."""
    try:
        yield make_unit(request, prepared, [attempt for _, attempt in wanted]), wanted
    except Refused as refused:
        if len(wanted) == 1:
            wanted[0][0].fail(str(refused))
            return
        for one in wanted:
            yield from units(request, prepared, [one])


def serve_signals(channel: socket.socket, request: Request, prepared: Plan) -> None:
    """Hand over each signal's first attempt that holds.

    In rounds, each a compilation of what is best among the attempts left, because almost
    always the first round is the last and the others need not be compiled.
    """
    pending = [Pending(one) for one in prepared.signals]
    while pending:
        for one in pending:
            if one.attempt is None:
                send(channel, _nothing(one.plan.signal, one.reason))
        wanted = [(one, one.attempt) for one in pending if one.attempt is not None]
        pending = [one for one, _ in wanted]
        if not wanted:
            return
        for unit, group in units(request, prepared, wanted):
            for one, attempt in group:
                try:
                    unit.attach(attempt)
                except Refused as refused:
                    one.fail(str(refused))
                    continue
                fds = unit.descriptors(one.plan.signal, attempt)
                message = {
                    "signal": one.plan.signal,
                    "level": attempt.level,
                    "reason": one.reason,
                    "roles": list(fds),
                    "programs": [program.name for program in attempt.programs],
                }
                send(channel, message, list(fds.values()))
                pending.remove(one)


def serve(channel: socket.socket, request: Request) -> None:
    """Load everything that can be had and report on every signal."""
    began = planned = time.monotonic()
    try:
        prepared = prepare(request)
        planned = time.monotonic()
        serve_signals(channel, request, prepared)
    except Refused as refused:
        for name in FIELDS:
            send(channel, _nothing(name, str(refused)))
    send(
        channel,
        {
            "done": {
                "btf_seconds": planned - began,
                "seconds": time.monotonic() - began,
                "peak_rss_bytes": peak_rss_bytes(Path("/proc/self/status").read_text()),
            }
        },
    )


def _nothing(name: str, reason: str | None) -> Mapping[str, Any]:
    return {"signal": name, "level": "none", "reason": reason, "roles": []}


if __name__ == "__main__":
    run(lambda channel, task: serve(channel, Request.decode(task)))
