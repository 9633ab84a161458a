"""bpf(2), which Python lacks: maps, programs and links.

Thin: bytes and descriptors in, bytes and descriptors out, ``OSError`` with the kernel's own
errno otherwise. That the agent reads its maps this way, and not through bcc, keeps LLVM out
of its memory. Deliberately knows nothing of what the maps hold. Layouts: uapi/linux/bpf.h,
64-bit.
"""

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBERS: Final = {
    "x86_64": {"bpf": 321, "perf_event_open": 298, "move_pages": 279},
    "aarch64": {"bpf": 280, "perf_event_open": 241, "move_pages": 239},
}
ARCHITECTURES: Final = frozenset(_NUMBERS)

PROG_KPROBE, PROG_PERF_EVENT, PROG_RAW_TRACEPOINT, PROG_TRACING = 2, 7, 17, 26
ATTACH_NONE, ATTACH_FENTRY, ATTACH_FEXIT, ATTACH_KPROBE_MULTI = 0, 24, 25, 42
MAP_ARRAY, MAP_PERCPU_HASH = 2, 5

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = 0, 1, 2, 3, 4
_PROG_LOAD, _PROG_TEST_RUN, _OBJ_INFO, _RAW_TRACEPOINT_OPEN = 5, 10, 15, 17
_MAP_LOOKUP_BATCH, _LINK_CREATE = 24, 28

_TEST_RUN_ON_CPU = 1
_MAP_INFO_SIZE = 40
_PROG_INFO_SIZE, _PROG_INFO_RUN_TIME = 216, 192
_LINK_INFO_SIZE = 16
_PERF_EVENT, _BPF = "anon_inode:[perf_event]", "anon_inode:bpf"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def system_call(name: str, *args: object) -> int:
    """Make one of the system calls that neither Python nor the C library has a function for.

    Args:
        name: of those in ``_NUMBERS``.
        args: ctypes.

    Raises:
        OSError: with the kernel's errno; ENOSYS on machines whose numbers are not known.
    """
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        raise OSError(errno.ENOSYS, f"{name}: no counters on {platform.machine()} machines")
    result = _libc.syscall(ctypes.c_long(numbers[name]), *args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)


def bpf(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
    """Make the system call as it is.

    Raises:
        OSError: with the kernel's errno.
    """
    return system_call("bpf", ctypes.c_int(command), attr, ctypes.c_uint(len(attr)))


def attribute(layout: str, *values: int | bytes) -> ctypes.Array[ctypes.c_char]:
    """A union bpf_attr in the form of ``struct``."""
    packed = struct.pack(layout, *values)
    return ctypes.create_string_buffer(packed, len(packed))


def map_create(  # noqa: PLR0913 -- as many as the kernel asks for, by keyword
    map_type: int,
    *,
    key_size: int,
    value_size: int,
    max_entries: int,
    name: str = "",
    flags: int = 0,
) -> int:
    """A new map's descriptor.

    Args:
        map_type: ``MAP_*``.
        key_size: bytes.
        value_size: bytes.
        max_entries: of a ring buffer, its bytes.
        name: of at most 15 characters; what bpftool shows.
        flags: ``BPF_F_*``.
    """
    attr = attribute(
        "=IIIIIII16s", map_type, key_size, value_size, max_entries, flags, 0, 0, name.encode()[:15]
    )
    return bpf(_MAP_CREATE, attr)


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel knows of a map (struct bpf_map_info)."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    name: str


def map_info(fd: int) -> MapInfo:
    """Describe a map."""
    info = ctypes.create_string_buffer(_MAP_INFO_SIZE)
    bpf(_OBJ_INFO, attribute("=IIQ", fd, len(info), ctypes.addressof(info)))
    kind, _, key_size, value_size, entries, _, name = struct.unpack_from("=6I16s", info.raw)
    return MapInfo(kind, key_size, value_size, entries, name.rstrip(b"\0").decode())


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """A value, or None when the key is not there.

    Args:
        fd: the map.
        key: as long as the map's key.
        value_size: bytes; of per-CPU maps the value size, rounded up to 8, times the number
            of possible CPUs.
    """
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_size)
    attr = attribute("=IIQQQ", fd, 0, ctypes.addressof(key_buffer), ctypes.addressof(value), 0)
    try:
        bpf(_MAP_LOOKUP, attr)
    except FileNotFoundError:
        return None
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Set a value."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value_buffer = ctypes.create_string_buffer(value, len(value))
    attr = attribute(
        "=IIQQQ", fd, 0, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), 0
    )
    bpf(_MAP_UPDATE, attr)


def map_delete(fd: int, key: bytes) -> bool:
    """Remove a key; False when it was not there."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    try:
        bpf(_MAP_DELETE, attribute("=IIQQQ", fd, 0, ctypes.addressof(key_buffer), 0, 0))
    except FileNotFoundError:
        return False
    return True


def map_next_key(fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """The key after this one (the first for None), or None at the end."""
    start = ctypes.create_string_buffer(key, len(key)) if key is not None else None
    following = ctypes.create_string_buffer(key_size)
    at = ctypes.addressof(start) if start is not None else 0
    try:
        bpf(_MAP_NEXT_KEY, attribute("=IIQQQ", fd, 0, at, ctypes.addressof(following), 0))
    except FileNotFoundError:
        return None
    return following.raw


def map_lookup_batch(
    fd: int, *, cursor: bytes | None, count: int, key_size: int, value_size: int
) -> tuple[bytes, bytes, bytes | None]:
    """Many entries in one call (BPF_MAP_LOOKUP_BATCH, 5.6 and later).

    Args:
        fd: the map.
        cursor: what the call before returned, None at the start.
        count: most entries to return.
        key_size: bytes.
        value_size: bytes, see ``map_lookup``.

    Returns:
        The keys, the values, and the cursor for the next call or None at the end.

    Raises:
        OSError: ENOSPC when a hash bucket holds more than ``count``; EINVAL when the kernel
            has no batches for this kind of map.
    """
    before = ctypes.create_string_buffer(cursor, len(cursor)) if cursor is not None else None
    after = ctypes.create_string_buffer(max(4, key_size))
    keys = ctypes.create_string_buffer(count * key_size)
    values = ctypes.create_string_buffer(count * value_size)
    attr = attribute(
        "=QQQQIIQQ",
        ctypes.addressof(before) if before is not None else 0,
        ctypes.addressof(after),
        ctypes.addressof(keys),
        ctypes.addressof(values),
        count,
        fd,
        0,
        0,
    )
    last = False
    try:
        bpf(_MAP_LOOKUP_BATCH, attr)
    except FileNotFoundError:
        last = True
    (got,) = struct.unpack_from("=I", attr.raw, 32)
    return keys.raw[: got * key_size], values.raw[: got * value_size], None if last else after.raw


def program_load(
    code: bytes, *, name: str, program_type: int, attach_type: int = ATTACH_NONE, btf_id: int = 0
) -> int:
    """Load a program and return its descriptor.

    Args:
        code: instructions with map descriptors already in them.
        name: shown by bpftool; cut to 15 characters.
        program_type: ``PROG_*``.
        attach_type: ``ATTACH_*``.
        btf_id: of the kernel function, for tracing programs.

    Raises:
        OSError: refused; the message ends in the verifier's last line.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")

    def load(log: ctypes.Array[ctypes.c_char] | None) -> int:
        return bpf(
            _PROG_LOAD,
            attribute(
                "=IIQQIIQII16sIIIIQIIQIIII",
                program_type,
                len(code) // 8,
                ctypes.addressof(instructions),
                ctypes.addressof(licence),
                1 if log is not None else 0,
                len(log) if log is not None else 0,
                ctypes.addressof(log) if log is not None else 0,
                0,
                0,
                name.encode()[:15],
                0,
                attach_type,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                btf_id,
                0,
                0,
            ),
        )

    try:
        return load(None)
    except OSError as refused:
        # The log is asked for only now: filling it makes loading slower.
        log = ctypes.create_string_buffer(1 << 18)
        try:
            return load(log)
        except OSError:
            lines = [line for line in log.value.decode(errors="replace").splitlines() if line]
            said = next((x for x in reversed(lines) if not x.startswith("processed ")), "")
            raise OSError(refused.errno, f"{refused.strerror} {said}".strip()) from None


def raw_tracepoint_open(program: int, name: str | None) -> int:
    """Attach a raw tracepoint program, or with name None a tracing (fentry) program."""
    text = ctypes.create_string_buffer(name.encode()) if name is not None else None
    at = ctypes.addressof(text) if text is not None else 0
    return bpf(_RAW_TRACEPOINT_OPEN, attribute("=QII", at, program, 0))


def program_run(program: int, *, cpu: int) -> None:
    """Run a raw tracepoint program once on a CPU (BPF_PROG_TEST_RUN, 5.10 and later).

    Raises:
        OSError: ENXIO when the CPU is offline; ENOTSUPP (524) on kernels that can't.
    """
    layout = "=IIIIQQIIIIQQII"
    bpf(
        _PROG_TEST_RUN,
        attribute(layout, program, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, _TEST_RUN_ON_CPU, cpu),
    )


def kprobe_multi_open(program: int, function: str, *, returns: bool = False) -> int:
    """Attach a kprobe program through fprobe (5.18 and later), without a perf event.

    Asks for no right beyond loading, where ``kprobe_open`` is refused for want of SYS_ADMIN
    by kernels with ``kernel.perf_event_paranoid`` above 2, such as Debian's.

    Args:
        program: descriptor of a PROG_KPROBE loaded for ATTACH_KPROBE_MULTI.
        function: kernel symbol.
        returns: whether to run at the function's return (BPF_F_KPROBE_MULTI_RETURN).
    """
    symbol = ctypes.create_string_buffer(function.encode())
    symbols = (ctypes.c_uint64 * 1)(ctypes.addressof(symbol))
    attr = attribute(
        "=IIIIIIQQQ",
        program,
        0,
        ATTACH_KPROBE_MULTI,
        0,
        int(returns),
        1,
        ctypes.addressof(symbols),
        0,
        0,
    )
    return bpf(_LINK_CREATE, attr)


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel knows of a loaded program (struct bpf_prog_info).

    Attributes:
        run_nanoseconds: spent in it; grows only while kernel.bpf_stats_enabled is 1.
        runs: how often it ran, with the same condition.
        misses: how often it was skipped because it was already running on that CPU; 0 on
            kernels before 5.12.
    """

    run_nanoseconds: int
    runs: int
    misses: int


def program_info(program: int) -> ProgramInfo:
    """Ask for a loaded program's statistics."""
    info = ctypes.create_string_buffer(_PROG_INFO_SIZE)
    bpf(_OBJ_INFO, attribute("=IIQ", program, len(info), ctypes.addressof(info)))
    return ProgramInfo(*struct.unpack_from("=QQQ", info.raw, _PROG_INFO_RUN_TIME))


def is_ours(fd: int) -> bool:
    """Whether a descriptor is one of BPF or of a perf event.

    One that was closed behind our back may stand for something else by now: closing it then
    would hurt a stranger.
    """
    try:
        kind = str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return False
    return kind == _PERF_EVENT or kind.startswith(_BPF)


def attached(program: int, link: int) -> bool:
    """Whether a program is still attached by a link that ``raw_tracepoint_open`` or another made.

    A perf event of a kprobe can't be asked which program it runs (kernel/trace/bpf_trace.c
    ``perf_event_query_prog_array`` answers for tracepoints only): there it counts that the
    descriptor is a perf event, whose program nobody else can take away.

    Args:
        program: descriptor of the program.
        link: descriptor of what attaches it.
    """
    try:
        known = ctypes.create_string_buffer(_PROG_INFO_SIZE)
        bpf(_OBJ_INFO, attribute("=IIQ", program, len(known), ctypes.addressof(known)))
        if str(Path(f"/proc/self/fd/{link}").readlink()) == _PERF_EVENT:
            return True
        info = ctypes.create_string_buffer(_LINK_INFO_SIZE)
        bpf(_OBJ_INFO, attribute("=IIQ", link, len(info), ctypes.addressof(info)))
    except OSError:
        return False
    # struct bpf_prog_info begins with type and id, struct bpf_link_info with type, id, prog_id.
    return bool(struct.unpack_from("=8xI", info.raw) == struct.unpack_from("=4xI", known.raw))
