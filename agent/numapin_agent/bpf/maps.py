"""Reads whole BPF maps through bpf(2), in batches where the kernel has them.

Knows keys and values as bytes only; what they mean is ``signals``'.
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from numapin_agent.bpf import syscalls

_FIRST_BATCH: Final = 128


@dataclass(slots=True)
class PerCpuHash:
    """A per-CPU hash map, or one with a single value for all CPUs.

    Attributes:
        fd: its descriptor.
        key_size: bytes.
        value_size: bytes of all possible CPUs' values together.
        batches: whether the kernel can look up many entries at once; found out by trying.
    """

    fd: int
    key_size: int
    value_size: int
    batches: bool = True

    def entries(self) -> tuple[bytes, bytes]:
        """All keys and all values, each joined.

        An entry that is added or removed meanwhile may be missing or, without batches, be
        there; none is there twice.

        Raises:
            OSError: bpf(2) failed.
        """
        found: dict[bytes, bytes] | None = None
        if self.batches:
            found = self._batched()
            self.batches = found is not None
        if found is None:
            found = self._one_by_one()
        return b"".join(found), b"".join(found.values())

    def entries_of(self, keys: Iterable[bytes]) -> tuple[bytes, bytes]:
        """Those of the keys that are there, and their values, each joined.

        Raises:
            OSError: bpf(2) failed.
        """
        found = ((key, syscalls.map_lookup(self.fd, key, self.value_size)) for key in keys)
        there = {key: value for key, value in found if value is not None}
        return b"".join(there), b"".join(there.values())

    def full(self) -> bool:
        """Whether no other entry finds room.

        Raises:
            OSError: bpf(2) failed.
        """
        keys, _ = self.entries()
        return len(keys) // self.key_size >= syscalls.map_info(self.fd).max_entries

    def delete(self, key: bytes) -> bool:
        """Remove an entry; False when it was not there."""
        return syscalls.map_delete(self.fd, key)

    def _batched(self) -> dict[bytes, bytes] | None:
        found: dict[bytes, bytes] = {}
        cursor: bytes | None = None
        count = _FIRST_BATCH
        while True:
            try:
                keys, values, after = syscalls.map_lookup_batch(
                    self.fd,
                    cursor=cursor,
                    count=count,
                    key_size=self.key_size,
                    value_size=self.value_size,
                )
            except OSError as error:
                # EINVAL, ENOTSUPP (524): no batches for this kind of map, or before 5.6.
                if error.errno in {errno.EINVAL, 524}:
                    return None
                if error.errno != errno.ENOSPC or count >= 1 << 16:
                    raise
                count *= 2
                continue
            size, each = self.key_size, self.value_size
            for i in range(len(keys) // size):
                found[keys[i * size : (i + 1) * size]] = values[i * each : (i + 1) * each]
            if after is None:
                return found
            cursor = after

    def _one_by_one(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        key = syscalls.map_next_key(self.fd, None, self.key_size)
        # A key deleted meanwhile sends the kernel back to the start: stop at one seen before.
        while key is not None and key not in found:
            value = syscalls.map_lookup(self.fd, key, self.value_size)
            if value is not None:
                found[key] = value
            key = syscalls.map_next_key(self.fd, key, self.key_size)
        return found


def per_cpu_sum(fd: int, index: int, *, cpus: int) -> int:
    """The sum over CPUs of a 64-bit element of a per-CPU array.

    Raises:
        OSError: bpf(2) failed.
        KeyError: no such element.
    """
    value = syscalls.map_lookup(fd, struct.pack("=I", index), 8 * cpus)
    if value is None:
        raise KeyError(index)
    return sum(struct.unpack(f"={cpus}Q", value))
