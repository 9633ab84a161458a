"""Hears that the kernel woke kswapd for a NUMA node: the first sign that it is nearly full.

The tracepoint ``mm_vmscan_wakeup_kswapd`` fires when an allocation finds the low watermark
undershot and kswapd asleep (mm/vmscan.c ``wakeup_kswapd``), before anybody reclaims by
himself. Two dozen instructions put the node's number into a ring buffer, which poll(2) waits
for, and count what finds no room there. They are written down here instead of compiled: the
guard must not wait for LLVM, and not fail where there is none. Deliberately knows nothing of
pods.

Silent while kswapd runs anyway, and once it has given a node up (``kswapd_failures``), which
is why the guard also looks by the clock. Silent, too, while nobody listens: a ring that nobody
empties would be full after a while, and each wake from then on be taken for a lost one.
"""

import logging
import mmap
import os
import struct
from typing import Final

from numapin_agent.bpf import syscalls
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CounterError

log = logging.getLogger(__name__)

TRACEPOINT: Final = "mm_vmscan_wakeup_kswapd"
"""TP_PROTO(int nid, …): the node has been its first argument since it is there (2.6.33)."""
RING_BYTES: Final = max(mmap.PAGESIZE, 32 << 10)
"""A power of two and of whole pages. Room for 2000 alarms of 16 bytes: page cache that churns
wakes each kswapd hundreds of times a second, and the guard is deaf for one at most. More would not
fit the 64 KiB that Linux before 5.11 lets a process without SYS_RESOURCE lock."""
_LISTENING, _LOST, _BOOKS_BYTES = 0, 8, 16
"""Where it stands whether anybody listens, and how many alarms found no room; 64 bits each."""
_MMAPABLE: Final = 1 << 10
"""Written here without a system call, each word for itself: an update would set back the other."""
_MAP_RINGBUF: Final = 27
_MAP_LOOKUP: Final = 1
_RINGBUF_OUTPUT: Final = 130
_FORCE_WAKEUP: Final = 2
_MOST_NODES: Final = 1024
"""MAX_NUMNODES of the largest configurations."""

_LDX_DW, _STX_DW, _ST_W, _LD_IMM64, _MOV_REG, _MOV, _ADD, _JEQ, _ATOMIC_ADD_DW, _CALL, _EXIT = (
    *(0x79, 0x7B, 0x62, 0x18, 0xBF, 0xB7, 0x07, 0x15, 0xDB, 0x85, 0x95),
)


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One ``struct bpf_insn`` (uapi/linux/bpf.h), little-endian bit fields."""
    return struct.pack("<BBhi", code, src << 4 | dst, offset, value)


def program(ring: int, books: int) -> bytes:
    """The first argument of a raw tracepoint, eight bytes of it, into a ring buffer.

    Args:
        ring: descriptor of its map.
        books: descriptor of an array with one element, of ``_BOOKS_BYTES``.
    """
    code = (
        _instruction(_LDX_DW, dst=2, src=1),
        _instruction(_STX_DW, dst=10, src=2, offset=-8),
        _instruction(_ST_W, dst=10, offset=-12, value=0),
        _instruction(_LD_IMM64, dst=1, src=1, value=books),
        _instruction(0),
        _instruction(_MOV_REG, dst=2, src=10),
        _instruction(_ADD, dst=2, value=-12),
        _instruction(_CALL, value=_MAP_LOOKUP),
        _instruction(_JEQ, dst=0, offset=13),  # to the end: the verifier wants it asked
        _instruction(_MOV_REG, dst=6, src=0),
        _instruction(_LDX_DW, dst=1, src=6, offset=_LISTENING),
        _instruction(_JEQ, dst=1, offset=10),  # to the end: nobody listens
        _instruction(_LD_IMM64, dst=1, src=1, value=ring),
        _instruction(0),
        _instruction(_MOV_REG, dst=2, src=10),
        _instruction(_ADD, dst=2, value=-8),
        _instruction(_MOV, dst=3, value=8),
        _instruction(_MOV, dst=4, value=_FORCE_WAKEUP),
        _instruction(_CALL, value=_RINGBUF_OUTPUT),
        _instruction(_JEQ, dst=0, offset=2),  # to the end: it is in the ring
        _instruction(_MOV, dst=1, value=1),
        _instruction(_ATOMIC_ADD_DW, dst=6, src=1, offset=_LOST),
        _instruction(_MOV, dst=0, value=0),
        _instruction(_EXIT),
    )
    return b"".join(code)


class KswapdAlarm:
    """The attached program, its ring buffer and its books; nobody listens at first.

    Args:
        tracepoint: whose first argument is told.
        size: bytes of the ring, as ``RING_BYTES``.

    Raises:
        CounterError: this kernel, or what the agent may do, has no such thing; the message
            says what was refused.
    """

    def __init__(self, tracepoint: str = TRACEPOINT, *, size: int = RING_BYTES) -> None:
        self._fds: list[int] = []
        self._maps: list[mmap.mmap] = []
        self._size = size
        try:
            ring = syscalls.map_create(
                _MAP_RINGBUF, key_size=0, value_size=0, max_entries=self._size, name="kswapd"
            )
            self._fds.append(ring)
            books = syscalls.map_create(
                syscalls.MAP_ARRAY,
                key_size=4,
                value_size=_BOOKS_BYTES,
                max_entries=1,
                name="kswapd_books",
                flags=_MMAPABLE,
            )
            self._fds.append(books)
            self.program = syscalls.program_load(
                program(ring, books),
                name="kswapd",
                program_type=syscalls.PROG_RAW_TRACEPOINT,
            )
            self._fds.append(self.program)
            self._fds.append(syscalls.raw_tracepoint_open(self.program, tracepoint))
            # kernel/bpf/ringbuf.c: a page for the consumer, then one for the producer and the
            # data, which are mapped twice in a row so that no record is torn.
            self._maps.append(mmap.mmap(ring, mmap.PAGESIZE))
            behind = mmap.PAGESIZE + 2 * self._size
            self._maps.append(mmap.mmap(ring, behind, prot=mmap.PROT_READ, offset=mmap.PAGESIZE))
            self._maps.append(mmap.mmap(books, mmap.PAGESIZE))
        except OSError as e:
            self.close()
            raise CounterError(f"tracepoint {tracepoint} can't be heard: {e.strerror}") from e
        self.fd = ring

    def take(self) -> NodeSet:
        """The NUMA nodes that were told of since the last call."""
        consumer, producer, _ = self._maps
        (consumed,) = struct.unpack_from("=Q", consumer, 0)
        (produced,) = struct.unpack_from("=Q", producer, 0)
        nodes: set[int] = set()
        while consumed < produced:
            at = mmap.PAGESIZE + consumed % self._size
            length, _, value = struct.unpack_from("=IIQ", producer, at)
            if length >> 31:
                break  # BPF_RINGBUF_BUSY_BIT: still being written, its own wake-up follows
            nodes.add(value & 0xFFFFFFFF)
            consumed += 8 + (length & 0x3FFFFFFF) + 7 & ~7
        struct.pack_into("=Q", consumer, 0, consumed)
        return NodeSet(n for n in nodes if n < _MOST_NODES)

    def listen(self, *, on: bool) -> None:
        """Whether alarms are wanted from now on; without, none is told and none lost."""
        struct.pack_into("=Q", self._maps[-1], _LISTENING, on)

    def lost(self) -> int:
        """Alarms that found no room in the ring, in all."""
        (lost,) = struct.unpack_from("=Q", self._maps[-1], _LOST)
        return int(lost)

    def close(self) -> None:
        """Detach."""
        for mapped in self._maps:
            mapped.close()
        self._maps.clear()
        for fd in reversed(self._fds):
            os.close(fd)
        self._fds.clear()


def open_alarm() -> KswapdAlarm | None:
    """The alarm, or None where BPF is not to be had, which the log says."""
    try:
        return KswapdAlarm()
    except CounterError as e:
        log.warning("free memory is looked at by the clock only: %s", e)
        return None
