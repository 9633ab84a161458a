"""Hears that the kernel woke kswapd for a NUMA node: the first sign that it is nearly full.

The tracepoint ``mm_vmscan_wakeup_kswapd`` fires when an allocation finds the low watermark
undershot and kswapd asleep (mm/vmscan.c ``wakeup_kswapd``), before anybody reclaims by
himself. Eleven instructions put the node's number into a ring buffer, which poll(2) waits
for. They are written down here instead of compiled: the guard must not wait for LLVM, and
not fail where there is none. Deliberately knows nothing of pods.

Silent while kswapd runs anyway, and once it has given a node up (``kswapd_failures``), which
is why the guard also looks by the clock.
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
_MAP_RINGBUF: Final = 27
_RINGBUF_OUTPUT: Final = 130
_FORCE_WAKEUP: Final = 2
_MOST_NODES: Final = 1024
"""MAX_NUMNODES of the largest configurations."""

_LDX_DW, _STX_DW, _LD_IMM64, _MOV_REG, _MOV, _ADD, _CALL, _EXIT = (
    *(0x79, 0x7B, 0x18, 0xBF, 0xB7, 0x07, 0x85, 0x95),
)


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One ``struct bpf_insn`` (uapi/linux/bpf.h), little-endian bit fields."""
    return struct.pack("<BBhi", code, src << 4 | dst, offset, value)


def program(ring: int) -> bytes:
    """The first argument of a raw tracepoint, eight bytes of it, into a ring buffer.

    Args:
        ring: descriptor of the map.
    """
    return b"".join(
        (
            _instruction(_LDX_DW, dst=2, src=1),
            _instruction(_STX_DW, dst=10, src=2, offset=-8),
            _instruction(_LD_IMM64, dst=1, src=1, value=ring),
            _instruction(0),
            _instruction(_MOV_REG, dst=2, src=10),
            _instruction(_ADD, dst=2, value=-8),
            _instruction(_MOV, dst=3, value=8),
            _instruction(_MOV, dst=4, value=_FORCE_WAKEUP),
            _instruction(_CALL, value=_RINGBUF_OUTPUT),
            _instruction(_MOV, dst=0, value=0),
            _instruction(_EXIT),
        )
    )


class KswapdAlarm:
    """The attached program and its ring buffer.

    Args:
        tracepoint: whose first argument is told.

    Raises:
        CounterError: this kernel, or what the agent may do, has no such thing; the message
            says what was refused.
    """

    def __init__(self, tracepoint: str = TRACEPOINT) -> None:
        self._fds: list[int] = []
        self._maps: list[mmap.mmap] = []
        self._size = mmap.PAGESIZE
        try:
            ring = syscalls.map_create(
                _MAP_RINGBUF, key_size=0, value_size=0, max_entries=self._size, name="kswapd"
            )
            self._fds.append(ring)
            code = syscalls.program_load(
                program(ring), name="kswapd", program_type=syscalls.PROG_RAW_TRACEPOINT
            )
            self._fds.append(code)
            self._fds.append(syscalls.raw_tracepoint_open(code, tracepoint))
            # kernel/bpf/ringbuf.c: a page for the consumer, then one for the producer and the
            # data, which are mapped twice in a row so that no record is torn.
            self._maps.append(mmap.mmap(ring, mmap.PAGESIZE))
            behind = mmap.PAGESIZE + 2 * self._size
            self._maps.append(mmap.mmap(ring, behind, prot=mmap.PROT_READ, offset=mmap.PAGESIZE))
        except OSError as e:
            self.close()
            raise CounterError(f"tracepoint {tracepoint} can't be heard: {e.strerror}") from e
        self.fd = ring

    def take(self) -> NodeSet:
        """The NUMA nodes that were told of since the last call."""
        consumer, producer = self._maps
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
