"""What tests need of the kernel's BPF, and why it is not there when it is not."""

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.compiler import HEADERS
from numapin_agent.bpf.launch import INTERPRETERS
from numapin_agent.bpf.objects import Object


def no_bpf() -> str | None:
    """Why BPF maps can't be made here, or None."""
    try:
        os.close(syscalls.map_create(syscalls.MAP_ARRAY, key_size=4, value_size=8, max_entries=1))
    except OSError as error:
        return f"BPF maps can't be made here: {error.strerror}"
    return None


def no_bcc() -> str | None:
    """Why nothing can be compiled here, or None."""
    for interpreter in INTERPRETERS:
        command = [interpreter, "-c", "import bcc"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return no_bpf()
    return f"no Python here can import bcc (Debian: python3-bpfcc): {', '.join(INTERPRETERS)}"


def compiled(macros: Mapping[str, int], programs: Iterable[str]) -> Object:
    """Programs compiled by the first Python that has bcc, as the loader child does."""
    code = (
        "import json, sys\n"
        "from numapin_agent.bpf.compiler import build\n"
        "from numapin_agent.counters.loader import source\n"
        "macros, names = json.loads(sys.argv[1])\n"
        "print(build(source(), macros, names, store=None).encode())\n"
    )
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "BCC_KERNEL_SOURCE": str(HEADERS),
    }
    wanted = json.dumps([dict(macros), sorted(programs)])
    for interpreter in INTERPRETERS:
        command = [interpreter, "-c", code, wanted]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        if done.returncode == 0:
            return Object.decode(done.stdout)
    raise AssertionError(done.stderr)


def run_once(program: int, *words: int) -> None:
    """Run a raw tracepoint program in this thread with these arguments (BPF_PROG_TEST_RUN)."""
    ctx = ctypes.create_string_buffer(u64(*(word & (1 << 64) - 1 for word in words)))
    layout = "=IIIIQQIIIIQQII"
    at = ctypes.addressof(ctx)
    attr = syscalls.attribute(layout, program, 0, 0, 0, 0, 0, 0, 0, 8 * len(words), 0, at, 0, 0, 0)
    syscalls.bpf(10, attr)


def program_ids(pid: int) -> set[int]:
    """Ids of the BPF programs that a process holds open."""
    ids = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        lines = info.read_text().splitlines()
        ids |= {int(line.split()[1]) for line in lines if line.startswith("prog_id:")}
    return ids


def program_exists(program_id: int) -> bool:
    """Whether the kernel still has that program (BPF_PROG_GET_FD_BY_ID)."""
    attr = syscalls.attribute("=III", program_id, 0, 0)
    try:
        os.close(syscalls.bpf(13, attr))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def u64(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}Q", *numbers)


def held_ids(pid: int) -> dict[str, set[int]]:
    """Ids of all BPF programs, maps and links that a process holds open, by kind."""
    found: dict[str, set[int]] = {"prog": set(), "map": set(), "link": set()}
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = info.read_text().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            kind, _, number = line.partition("_id:")
            # a link's fdinfo names its program, too, which is none of the process' descriptors
            if kind in found:
                found[kind].add(int(number))
    return found


def still_there(kind: str, identity: int) -> bool:
    """Whether the kernel still has it (BPF_*_GET_FD_BY_ID)."""
    command = {"prog": 13, "map": 14, "link": 30}[kind]
    try:
        os.close(syscalls.bpf(command, syscalls.attribute("=III", identity, 0, 0)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True
