"""Makes maps, loads compiled programs and attaches them, and says why the kernel refused.

Thin. Used by the loader children only; the descriptors are all that keeps a program attached,
and they are the caller's to hand over or close.
"""

import errno
import os
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.objects import Object
from numapin_agent.bpf.perf import kprobe_open
from numapin_agent.bpf.programs import Program

_CAP_SYS_ADMIN = 21
_CAPABILITIES = {"BPF": 39, "PERFMON": 38}


def need_bpf() -> None:
    """Make sure that this process may use BPF at all.

    Raises:
        OSError: it may not; names the capabilities that it lacks.
    """
    try:
        os.close(syscalls.map_create(syscalls.MAP_ARRAY, key_size=4, value_size=8, max_entries=1))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}{_lacking()}") from error


def make_maps(made: Object) -> dict[str, int]:
    """Descriptors of new maps for an object's programs, by name and in its order.

    Raises:
        OSError: the kernel's own words.
    """
    return {
        one.name: syscalls.map_create(
            one.kind,
            key_size=one.key_size,
            value_size=one.value_size,
            max_entries=one.max_entries,
            name=one.name,
        )
        for one in made.maps
    }


def attach(program: Program, code: bytes, *, kprobe_pmu: str) -> tuple[int, tuple[int, ...]]:
    """Load a program and attach it, unless it is for an event or has no target.

    Args:
        program: which.
        code: its instructions, linked to maps.
        kprobe_pmu: path of the file with the number of the kprobe PMU.

    Returns:
        Its descriptor and those that keep it attached.

    Raises:
        OSError: the kernel's own words.
    """
    match program.kind:
        case "perfEvent":
            kind = syscalls.PROG_PERF_EVENT
            return syscalls.program_load(code, name=program.name, program_type=kind), ()
        case "rawTracepoint":
            kind = syscalls.PROG_RAW_TRACEPOINT
            fd = syscalls.program_load(code, name=program.name, program_type=kind)
            target = program.target
            return fd, (syscalls.raw_tracepoint_open(fd, target),) if target else ()
        case "fentry" | "fexit":
            fd = syscalls.program_load(
                code,
                name=program.name,
                program_type=syscalls.PROG_TRACING,
                attach_type=syscalls.ATTACH_FENTRY
                if program.kind == "fentry"
                else syscalls.ATTACH_FEXIT,
                btf_id=program.btf_id,
            )
            return fd, (syscalls.raw_tracepoint_open(fd, None),)
        case "kprobe" | "kretprobe":
            return _kprobe(program, code, kprobe_pmu)


def _kprobe(program: Program, code: bytes, kprobe_pmu: str) -> tuple[int, tuple[int, ...]]:
    returns, kind = program.kind == "kretprobe", syscalls.PROG_KPROBE
    try:
        pmu = int(Path(kprobe_pmu).read_text())
    except FileNotFoundError as error:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no kprobes") from error
    fd = syscalls.program_load(code, name=program.name, program_type=kind)
    try:
        return fd, (kprobe_open(fd, program.target, pmu, returns=returns),)
    except PermissionError as refused:
        os.close(fd)
        try:
            multi = syscalls.ATTACH_KPROBE_MULTI
            fd = syscalls.program_load(
                code, name=program.name, program_type=kind, attach_type=multi
            )
            return fd, (syscalls.kprobe_multi_open(fd, program.target, returns=returns),)
        except OSError as error:
            both = f"{refused.strerror}, and as fprobe {error.strerror}"
            raise OSError(error.errno, both) from error


def refusal(program: Program, error: OSError) -> str:
    """Why a program is not attached, with the capabilities that this process lacks for it."""
    why = f"{program.kind} {program.target}: {error.strerror or error}"
    return why + (_lacking() if isinstance(error, PermissionError) else "")


def _lacking() -> str:
    return lacking(Path("/proc/self/status").read_text())


def lacking(status: str) -> str:
    """Which capabilities that BPF asks for a /proc/PID/status lacks, as the end of a sentence."""
    line = next(x for x in status.splitlines() if x.startswith("CapEff:"))
    effective = int(line.split()[1], 16)
    if effective >> _CAP_SYS_ADMIN & 1:
        return ""
    names = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    return f" (capability {' and '.join(names)} missing)" if names else ""
