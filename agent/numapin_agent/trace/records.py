"""What the kernel programs leave in their maps, decoded. Mirrors the structs of ``bpf/``.

Pure: bytes in, values out.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

(
    TIMER,
    HRTIMER,
    SOFTIRQ,
    HARDIRQ,
    VECTOR,
    QUEUED,
    OFF,
    SYSCALL,
    FUNCTION,
    NETFILTER,
    RECEIVE,
    MIGRATION,
    STOLEN,
    FAULT,
) = range(1, 15)
"""KIND_* of ``bpf/common.c``."""

_KEY: Final = struct.Struct("=QII")
_NUMBERS: Final = struct.Struct("=QQQQIIII")
_PATH: Final = struct.Struct("=IiiI")
KEY_SIZE: Final = _KEY.size
HOOK_SIZE: Final = _KEY.size
EVENT_SIZE: Final = _NUMBERS.size + 64
PATH_SIZE: Final = _PATH.size
WEIGHT_SIZE: Final = 16
THREAD_SIZE: Final = 8
CALL_SIZE: Final = 24


@dataclass(frozen=True, slots=True)
class Key:
    """What a histogram is of: ``id`` means what its kind says."""

    id: int
    kind: int
    cpu: int

    @classmethod
    def decode(cls, data: bytes) -> "Key":
        """From ``struct key``."""
        return cls(*_KEY.unpack(data))


@dataclass(frozen=True, slots=True)
class Event:
    """One long event.

    Attributes:
        start: nanoseconds of CLOCK_MONOTONIC.
        length: nanoseconds.
        id: as of ``Key``; of kinds QUEUED and OFF the thread.
        extra: of system calls the descriptor.
        kind: what it is.
        cpu: where it ended.
        tid: thread that ran where it ended.
        tgid: its process.
        text: of system calls what they were about, such as a path; empty when it isn't known.
    """

    start: int
    length: int
    id: int
    extra: int
    kind: int
    cpu: int
    tid: int
    tgid: int
    text: str = ""

    @property
    def end(self) -> int:
        """When it was over."""
        return self.start + self.length

    @classmethod
    def decode(cls, data: bytes) -> "Event":
        """From ``struct moment``."""
        text = data[_NUMBERS.size :].split(b"\0", 1)[0].decode(errors="replace")
        return replace(cls(*_NUMBERS.unpack_from(data)), text=text)


@dataclass(frozen=True, slots=True)
class Hooked:
    """A function that a netfilter hook calls.

    Attributes:
        function: address.
        hook: hook and, above 8 bits, family.
        place: in the order of calls.
    """

    function: int
    hook: int
    place: int

    @classmethod
    def decode(cls, data: bytes) -> "Hooked":
        """From ``struct hook_function``."""
        return cls(*_KEY.unpack(data))


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A system call that has not returned.

    Attributes:
        thread: that made it.
        at: nanoseconds of CLOCK_MONOTONIC.
        number: of the call.
    """

    thread: int
    at: int
    number: int

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> "UnderWay":
        """From a thread's number and ``struct call``."""
        (thread,), (at, number, _) = struct.unpack("=Q", key), struct.unpack("=QQQ", value)
        return cls(thread, at, number)


@dataclass(frozen=True, slots=True)
class Path:
    """One call path of one process: numbers of its stacks, negative where there is none."""

    tgid: int
    user: int
    kernel: int
    kind: int

    @classmethod
    def decode(cls, data: bytes) -> "Path":
        """From ``struct path``."""
        return cls(*_PATH.unpack(data))


@dataclass(frozen=True, slots=True)
class Weight:
    """How often a path was taken, and how long that took."""

    count: int
    nanoseconds: int

    @classmethod
    def decode(cls, data: bytes) -> "Weight":
        """From ``struct weight``."""
        return cls(*struct.unpack("=QQ", data))


def pairs(
    keys: bytes, values: bytes, key_size: int, value_size: int
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a map that was read at once."""
    for i in range(len(keys) // key_size):
        yield keys[i * key_size : (i + 1) * key_size], values[i * value_size : (i + 1) * value_size]


def addresses(stack: bytes) -> tuple[int, ...]:
    """A stack's return addresses, innermost first; the kernel fills up with zeros."""
    return tuple(one for (one,) in struct.iter_unpack("=Q", stack) if one)
