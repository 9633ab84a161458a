"""The short-lived child of one trace: compiles, attaches, hands descriptors over and exits.

Run as ``python3 -m numapin_agent.trace.loader FD``, like ``counters.loader`` and for the same
reasons. All or nothing for what a question can't do without; a part that only adds something
becomes a note. What is attached lives as long as its descriptors, wherever they are.
"""

import errno
import os
import platform
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.attach import attach, make_maps, need_bpf, refusal
from numapin_agent.bpf.btf import Btf, BtfError
from numapin_agent.bpf.child import peak_rss_bytes, run
from numapin_agent.bpf.compiler import CompileError, NoCompilerError, build
from numapin_agent.bpf.objects import Object
from numapin_agent.bpf.programs import Program
from numapin_agent.bpf.wire import send
from numapin_agent.trace import kernel
from numapin_agent.trace.facts import facts, names
from numapin_agent.trace.plan import Part, Plan, RefusedError, plan
from numapin_agent.trace.question import Task
from numapin_agent.trace.systemcalls import table

BPF_DIR = Path(__file__).parent / "bpf"


def attach_part(
    task: Task, part: Part, made: Object, maps: Mapping[str, int]
) -> dict[Program, tuple[int, tuple[int, ...]]]:
    """Attach the best alternative that the kernel takes.

    Raises:
        RefusedError: it takes none.
    """
    said = []
    for attempt in part.attempts:
        had: dict[Program, tuple[int, tuple[int, ...]]] = {}
        try:
            for program in attempt:
                code = made.linked(program.name, [*maps.values()])
                fd, links = attach(program, code, kprobe_pmu=task.kprobe_pmu)
                if program.kind == "perfEvent":
                    links = tuple(kernel.page_fault_event(fd, cpu) for cpu in task.online)
                had[program] = fd, links
        except OSError as error:
            for fd, links in had.values():
                for one in (*links, fd):
                    os.close(one)
            why = refusal(attempt[len(had)], error)
            if error.errno == errno.ENOENT:
                why += " (no such symbol, or not one that can be traced)"
            said.append(why)
        else:
            return had
    raise RefusedError("; ".join(said) or "this machine's registers are unknown")


def prepare(task: Task) -> tuple[Plan, Object, dict[str, int]]:
    """Plan, compile, make maps.

    Raises:
        RefusedError: no BTF, no right, or no way.
        NoCompilerError: this interpreter has no bcc and nothing was kept.
    """
    try:
        need_bpf()
    except OSError as error:
        why = error.strerror or str(error)
        hint = "; be root" if isinstance(error, PermissionError) and os.geteuid() else ""
        raise RefusedError(why + hint) from error
    try:
        btf = Btf(Path(task.btf).read_bytes(), names(task.question))
    except BtfError as error:
        raise RefusedError(f"the kernel's types can't be read: {error}") from error
    except OSError as error:
        raise RefusedError(
            f"the kernel's types can't be read: {task.btf}: {error.strerror}: a kernel built with "
            "CONFIG_DEBUG_INFO_BTF has them"
        ) from error
    made = plan(
        task.question,
        facts(btf, task.question, task.machine),
        scoped=task.scope.cgroup != 0,
        cpus=task.cpus,
        map_bytes=task.map_bytes,
        numa_nodes=len(task.numa_nodes),
    )
    if not made.parts:
        return made, Object((), {}), {}
    text = "\n".join((BPF_DIR / f"{name}.c").read_text() for name in made.sources)
    store = Path(task.store) if task.store is not None else None
    try:
        macros = {**made.macros, **task.macros}
        compiled = build(text, macros, {p.name for p in made.programs()}, store=store)
        maps = make_maps(compiled)
        _fill(maps, task)
    except (CompileError, OSError) as error:
        raise RefusedError(str(error)) from error
    return made, compiled, maps


def _fill(maps: Mapping[str, int], task: Task) -> None:
    chosen = task.question.threshold
    two = 1 + sum(task.numa_nodes) if len(task.numa_nodes) == 2 else 0
    settings = (task.scope.cgroup, task.scope.level, chosen, max(1, chosen // 10), two)
    # what comes after these, SET_OPEN, is the parent's to set
    for i, value in enumerate(settings if "settings" in maps else ()):
        syscalls.map_update(maps["settings"], struct.pack("=I", i), struct.pack("=Q", value))
    if "about" in maps:
        for number, known in table(system_call_names(task.machine)).items():
            if number < 1024:
                syscalls.map_update(
                    maps["about"], struct.pack("=I", number), struct.pack("=I", known)
                )


def system_call_names(machine: str) -> dict[int, str]:
    """By number, of machines that bcc knows; of others none.

    Raises:
        NoCompilerError: this interpreter has no bcc. It may have a kept object, but without
            names no call would be known for one that is about a file: another one is to try.
    """
    if machine != "x86_64" or platform.machine() != machine:
        return {}
    try:
        from bcc.syscall import syscalls as known  # noqa: PLC0415 — only two probes need it
    except (ImportError, OSError) as error:
        raise NoCompilerError(f"{sys.executable}: {error}") from error
    return {number: name.decode() for number, name in known.items()}


def serve(channel: socket.socket, task: Task) -> None:
    """Attach everything and hand it over, or say why not."""
    began = time.monotonic()
    fds: dict[str, int] = {}
    try:
        planned, made, maps = prepare(task)
        notes = list(planned.notes)
        attached: dict[Program, tuple[int, tuple[int, ...]]] = {}
        for part in planned.parts:
            try:
                attached |= attach_part(task, part, made, maps)
            except RefusedError as refused:
                if part.optional is None:
                    raise
                notes.append(f"without {part.optional}: {refused}")
    except RefusedError as refused:
        send(channel, {"refused": str(refused)})
        return
    fds |= {f"map:{name}": fd for name, fd in maps.items()}
    links: list[int] = []
    for program, (fd, held) in attached.items():
        fds[f"program:{program.name}"] = fd
        links += held
    place = {p.name: i for i, p in enumerate(planned.programs())}
    message = {
        "roles": list(fds),
        "programs": [[p.name, p.kind, p.target, place[p.name]] for p in attached],
        "notes": notes,
        "calls": {}
        if "about" not in maps
        else {str(n): name for n, name in system_call_names(task.machine).items()},
        "seconds": time.monotonic() - began,
        "peak_rss_bytes": peak_rss_bytes(Path("/proc/self/status").read_text()),
    }
    # One message takes 64 descriptors; links, of which there may be one a CPU, come after.
    send(channel, message, list(fds.values()))
    for at in range(0, len(links), 32):
        send(channel, {"links": True}, links[at : at + 32])
    send(channel, {"done": True})


if __name__ == "__main__":
    # Ctrl-C goes to the whole group: the parent decides, and ends this one when it likes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run(lambda channel, task: serve(channel, Task.decode(task)))
