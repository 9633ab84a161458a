"""Turns C into an object: from the store when nothing changed, else by bcc.

Compiling costs 130 MB for a second; what was compiled is kept, so that an agent that starts
again on the same kernel needs neither. The only module that imports bcc, and only when it
must. The kernel's verifier checks a kept object just as a fresh one.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.objects import MapSpec, Object, ObjectError, detach

HEADERS = Path(__file__).parent
"""What bcc takes for the kernel's source (BCC_KERNEL_SOURCE): our few headers in their place."""
_FORMAT = 1


class CompileError(Exception):
    """The compiler's own words."""


class NoCompilerError(Exception):
    """This interpreter can't import bcc."""


def stderr_tail(text: str) -> str:
    """The line that says most: clang's first error, else the last line, as in a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((line for line in lines if " error: " in line), None)
    return (first or (lines[-1] if lines else ""))[:300]


def fingerprint(source: str, macros: Mapping[str, int], programs: Iterable[str]) -> str:
    """What an object is kept under: all that its instructions depend on."""
    parts = [str(_FORMAT), source, *(f"{n}={v}" for n, v in sorted(macros.items()))]
    parts += sorted(programs)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def build(
    source: str, macros: Mapping[str, int], programs: Iterable[str], *, store: Path | None
) -> Object:
    """An object with these programs.

    Args:
        source: of the programs, in C.
        macros: for the preprocessor.
        programs: names of functions in the source.
        store: directory of kept objects, or None to keep nothing.

    Raises:
        CompileError: the source does not compile so, or its maps can't be made.
        NoCompilerError: it must be compiled, and bcc can't be imported.
    """
    names = sorted(programs)
    kept = store / f"bpf-{fingerprint(source, macros, names)}.json" if store is not None else None
    if kept is not None:
        with contextlib.suppress(OSError, ObjectError):
            return Object.decode(kept.read_text())
    made = _compile(source, macros, names)
    if kept is not None:
        try:
            keep(kept, made)
        except OSError as error:
            sys.stderr.write(f"{kept} can't be written: {error}\n")
    return made


def keep(file: Path, made: Object) -> None:
    """Write an object whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(made.encode())
    unfinished.replace(file)


def _compile(source: str, macros: Mapping[str, int], names: Iterable[str]) -> Object:
    try:
        from bcc import BPF  # noqa: PLC0415 — 70 MB, and only here
    except (ImportError, OSError) as error:
        raise NoCompilerError(f"{sys.executable}: {error}") from error
    flags = [f"-D{name}={value}" for name, value in sorted(macros.items())]
    flags += [f"-DWITH_{name}" for name in names]
    before = os.fstat(2).st_size
    try:
        module = BPF(text=source, cflags=flags)
        return detach({n: module.dump_func(n.encode()) for n in names}, _describe)
    except Exception as error:  # bcc raises bare Exception for everything
        raise CompileError(f"{error}: {_said(before)}".rstrip(": ")) from error


def _describe(fd: int) -> MapSpec:
    info = syscalls.map_info(fd)
    return MapSpec(info.name, info.kind, info.key_size, info.value_size, info.max_entries)


def _said(since: int) -> str:
    """What clang wrote to standard error, a file that the parent reads too."""
    try:
        size = os.fstat(2).st_size
        return stderr_tail(os.pread(2, max(0, size - since), since).decode(errors="replace"))
    except OSError:
        return ""
