"""The short-lived child of one trace: compiles, attaches, hands descriptors over and exits.

Run as ``python3 -m numapin_agent.trace.loader FD``, like ``counters.loader`` and for the same
reasons. All or nothing for what a question can't do without; a part that only adds something
becomes a note. What is attached lives as long as its descriptors, wherever they are.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.btf import Btf, BtfError
from numapin_agent.bpf.compiler import CompileError, NoCompilerError, build
from numapin_agent.bpf.objects import Object
from numapin_agent.bpf.wire import receive, send
from numapin_agent.counters.loader import lacking, peak_rss_bytes
from numapin_agent.trace import kernel
from numapin_agent.trace.plan import Part, Plan, Program, RefusedError, facts, names, plan
from numapin_agent.trace.question import Task
from numapin_agent.trace.systemcalls import table

BPF_DIR = Path(__file__).parent / "bpf"
_PR_SET_PDEATHSIG = 1


def attach(task: Task, program: Program, code: bytes) -> tuple[int, list[int]]:
    """Load a program and attach it.

    Returns:
        Its descriptor and those that keep it attached.

    Raises:
        OSError: the kernel's own words.
    """
    if program.kind == "rawTracepoint":
        fd = syscalls.program_load(
            code, name=program.name, program_type=syscalls.PROG_RAW_TRACEPOINT
        )
        return fd, [syscalls.raw_tracepoint_open(fd, program.target)]
    if program.kind in {"fentry", "fexit"}:
        fd = syscalls.program_load(
            code,
            name=program.name,
            program_type=syscalls.PROG_TRACING,
            attach_type=syscalls.ATTACH_FENTRY if program.kind == "fentry" else kernel.ATTACH_FEXIT,
            btf_id=program.btf_id,
        )
        return fd, [syscalls.raw_tracepoint_open(fd, None)]
    if program.kind == "perfEvent":
        fd = syscalls.program_load(code, name=program.name, program_type=kernel.PROG_PERF_EVENT)
        return fd, [kernel.page_fault_event(fd, cpu) for cpu in task.online]
    return _kprobe(task, program, code)


def _kprobe(task: Task, program: Program, code: bytes) -> tuple[int, list[int]]:
    returns, kind = program.kind == "kretprobe", syscalls.PROG_KPROBE
    try:
        pmu = int(Path(task.kprobe_pmu).read_text())
    except FileNotFoundError as error:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no kprobes") from error
    fd = syscalls.program_load(code, name=program.name, program_type=kind)
    try:
        return fd, [syscalls.kprobe_open(fd, program.target, pmu, returns=returns)]
    except PermissionError as refused:
        os.close(fd)
        try:
            multi = syscalls.ATTACH_KPROBE_MULTI
            fd = syscalls.program_load(
                code, name=program.name, program_type=kind, attach_type=multi
            )
            return fd, [syscalls.kprobe_multi_open(fd, program.target, returns=returns)]
        except OSError as error:
            both = f"{refused.strerror}, and as fprobe {error.strerror}"
            raise OSError(error.errno, both) from error


def attach_part(
    task: Task, part: Part, made: Object, maps: Mapping[str, int]
) -> dict[Program, tuple[int, list[int]]]:
    """Attach the best alternative that the kernel takes.

    Raises:
        RefusedError: it takes none.
    """
    said = []
    for attempt in part.attempts:
        had: dict[Program, tuple[int, list[int]]] = {}
        try:
            for program in attempt:
                had[program] = attach(task, program, made.linked(program.name, [*maps.values()]))
        except OSError as error:
            for fd, links in had.values():
                for one in (*links, fd):
                    os.close(one)
            target = attempt[len(had)]
            why = f"{target.kind} {target.target}: {error.strerror or error}"
            if error.errno == errno.ENOENT:
                why += " (no such symbol, or not one that can be traced)"
            if isinstance(error, PermissionError):
                why += lacking(Path("/proc/self/status").read_text())
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
        os.close(syscalls.map_create(syscalls.MAP_ARRAY, key_size=4, value_size=8, max_entries=1))
        btf = Btf(Path(task.btf).read_bytes(), names(task.question))
    except BtfError as error:
        raise RefusedError(f"the kernel's types can't be read: {error}") from error
    except OSError as error:
        status = Path("/proc/self/status").read_text()
        raise RefusedError(f"{error.strerror or error}{lacking(status)}") from error
    made = plan(
        task.question,
        facts(btf, task.question, task.machine),
        scoped=task.scope.cgroup != 0,
        cpus=task.cpus,
        map_bytes=task.map_bytes,
    )
    if not made.parts:
        return made, Object((), {}), {}
    text = "\n".join((BPF_DIR / f"{name}.c").read_text() for name in made.sources)
    store = Path(task.store) if task.store is not None else None
    try:
        macros = {**made.macros, **task.macros}
        compiled = build(text, macros, {p.name for p in made.programs()}, store=store)
        maps = {
            one.name: syscalls.map_create(
                one.kind,
                key_size=one.key_size,
                value_size=one.value_size,
                max_entries=one.max_entries,
                name=one.name,
            )
            for one in compiled.maps
        }
        _fill(maps, task)
    except (CompileError, OSError) as error:
        raise RefusedError(str(error)) from error
    return made, compiled, maps


def _fill(maps: Mapping[str, int], task: Task) -> None:
    chosen = task.question.threshold
    settings = (task.scope.cgroup, task.scope.level, chosen, max(1, chosen // 10))
    for i, value in enumerate(settings if "settings" in maps else ()):
        syscalls.map_update(maps["settings"], struct.pack("=I", i), struct.pack("=Q", value))
    if "about" in maps:
        for number, known in table(system_call_names(task.machine)).items():
            if number < 1024:
                syscalls.map_update(
                    maps["about"], struct.pack("=I", number), struct.pack("=I", known)
                )


def system_call_names(machine: str) -> dict[int, str]:
    """By number, of machines that bcc knows; of others none."""
    if machine != "x86_64" or platform.machine() != machine:
        return {}
    try:
        from bcc.syscall import syscalls as known  # noqa: PLC0415 — only two probes need it
    except (ImportError, OSError):
        return {}
    return {number: name.decode() for number, name in known.items()}


def serve(channel: socket.socket, task: Task) -> None:
    """Attach everything and hand it over, or say why not."""
    began = time.monotonic()
    fds: dict[str, int] = {}
    try:
        planned, made, maps = prepare(task)
        notes = list(planned.notes)
        attached: dict[Program, tuple[int, list[int]]] = {}
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


def main() -> None:
    """Entry point."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C goes to the whole group: the parent decides, and ends this one when it likes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    first = receive(channel)
    if first is None:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    try:
        serve(channel, Task.decode(first[0]))
    except NoCompilerError as error:
        send(channel, {"unavailable": str(error)})
    channel.close()
    # bcc's exit handlers would close what is now the parent's.
    os._exit(0)


if __name__ == "__main__":
    main()
