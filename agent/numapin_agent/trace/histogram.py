"""Histograms in power-of-two buckets: what all latency probes count in.

Bucket ``i`` holds values of ``i`` bits: 0, 1, 2-3, 4-7, …; the last is open. Mirrors ``struct
hist`` of ``bpf/common.c``. Pure; knows no unit, though every probe counts nanoseconds.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

SLOTS: Final = 40
"""Buckets; 2^39 ns are nine minutes."""
_VALUE: Final = struct.Struct(f"=3Q{SLOTS}Q")
VALUE_SIZE: Final = _VALUE.size
"""Bytes of one ``struct hist``. Its counters never wrap: they are Prometheus', too."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often which values came.

    Attributes:
        count: of values.
        total: their sum.
        maximum: the greatest.
        slots: per number of bits how many had so many; ``SLOTS`` long.
    """

    count: int = 0
    total: int = 0
    maximum: int = 0
    slots: tuple[int, ...] = field(default=(0,) * SLOTS)

    @property
    def average(self) -> float:
        """The mean; 0 of nothing."""
        return self.total / self.count if self.count else 0.0

    def at_most(self, share: float) -> int:
        """A value that this share of values doesn't exceed: exact to a bucket, never too low.

        Args:
            share: 0 to 1; 0.99 for p99.
        """
        seen, wanted = 0, share * sum(self.slots)
        for bits, count in enumerate(self.slots):
            seen += count
            if count and seen >= wanted:
                top = self.maximum if bits == SLOTS - 1 else (1 << bits) - 1
                return min(top, self.maximum)
        return self.maximum

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(
            self.count + other.count,
            self.total + other.total,
            max(self.maximum, other.maximum),
            tuple(a + b for a, b in zip(self.slots, other.slots, strict=True)),
        )


def added(histograms: Iterable[Histogram]) -> Histogram:
    """All of them in one."""
    return reduce(lambda a, b: a + b, histograms, Histogram())


def of(values: Iterable[int]) -> Histogram:
    """The histogram of these values, as the kernel programs make it."""
    slots, count, total, maximum = [0] * SLOTS, 0, 0, 0
    for value in values:
        slots[min(value.bit_length(), SLOTS - 1)] += 1
        count, total, maximum = count + 1, total + value, max(maximum, value)
    return Histogram(count, total, maximum, tuple(slots))


def decode(value: bytes) -> Histogram:
    """Add up the values of all CPUs.

    Args:
        value: of a map, a whole ``struct hist``, for each possible CPU if it is a per-CPU one.

    Raises:
        ValueError: it is no whole number of them.
    """
    if not value or len(value) % VALUE_SIZE:
        raise ValueError(f"{len(value)} bytes are no multiple of {VALUE_SIZE}")
    return added(
        Histogram(count, total, maximum, tuple(slots))
        for count, total, maximum, *slots in _VALUE.iter_unpack(value)
    )


def bounds(bits: int) -> tuple[int, int]:
    """Least and greatest value of a bucket; the last bucket's greatest is nominal."""
    return (0, 0) if bits == 0 else (1 << bits - 1, (1 << bits) - 1)


def as_data(histogram: Histogram) -> dict[str, Any]:
    """For programs: figures and the buckets that hold something."""
    return {
        "count": histogram.count,
        "total": histogram.total,
        "average": round(histogram.average, 1),
        "p50": histogram.at_most(0.5),
        "p99": histogram.at_most(0.99),
        "max": histogram.maximum,
        "buckets": [
            {"from": bounds(bits)[0], "to": bounds(bits)[1], "count": count}
            for bits, count in enumerate(histogram.slots)
            if count
        ],
    }


def from_data(data: Mapping[str, Any]) -> Histogram:
    """What ``as_data`` was made of.

    Raises:
        ValueError: a bucket that is none of ours, or a figure that is missing.
    """
    slots = [0] * SLOTS
    try:
        for bucket in data["buckets"]:
            bits = int(bucket["from"]).bit_length()
            if bits >= SLOTS or bounds(bits)[0] != bucket["from"]:
                raise ValueError(f"bucket from {bucket['from']}: must be 0 or a power of two")
            slots[bits] = int(bucket["count"])
        return Histogram(int(data["count"]), int(data["total"]), int(data["max"]), tuple(slots))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no histogram: {error} is missing or no number") from error
