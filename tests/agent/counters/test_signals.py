"""Map bytes to counters: recorded bytes, any bytes, and the structs of programs.c."""

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.loader import source
from numapin_agent.counters.signals import (
    FIELDS,
    CgroupCounters,
    copies,
    decode,
    merge,
    value_size,
)
from numapin_api.node import SIGNALS

U64 = st.integers(0, (1 << 64) - 1)
COUNT = st.integers(0, 1 << 60)
"""Nanoseconds of 36 years: what sums over all CPUs stay below 2^64 with."""


def test_recorded_map_of_two_cpus():
    """BPF_MAP_LOOKUP_BATCH of numaMigrations, two possible CPUs, one cgroup."""
    keys = bytes.fromhex("0e0e000000000000")
    values = bytes.fromhex(
        "0300000000000000 0006000000000000 0006000000000000 40420f0000000000"
        "0100000000000000 0100000000000000 0100000000000000 e803000000000000"
    )
    assert decode("numaMigrations", keys, values, cpus=2) == {3598: (4, 1537, 1537, 1_001_000)}


@given(
    signal=st.sampled_from(sorted(FIELDS)),
    cpus=st.integers(1, 5),
    data=st.data(),
)
def test_values_are_summed_over_cpus(signal, cpus, data):
    members = len(FIELDS[signal])
    value = st.lists(st.tuples(*[COUNT] * members), min_size=cpus, max_size=cpus)
    table = data.draw(st.dictionaries(U64, value, max_size=5))
    keys = b"".join(struct.pack("=Q", k) for k in table)
    values = b"".join(
        struct.pack(f"={members}Q", *v) for per_cpu in table.values() for v in per_cpu
    )
    expected = {k: tuple(map(sum, zip(*v, strict=True))) for k, v in table.items()}
    assert decode(signal, keys, values, cpus=cpus) == expected


@pytest.mark.parametrize(("keys", "values"), [(8, 0), (0, 8), (7, 8), (16, 8), (8, 24)])
def test_lengths_that_do_not_fit_are_refused(keys, values):
    with pytest.raises(ValueError, match="don't fit"):
        decode("taskMigrations", bytes(keys), bytes(values), cpus=2)


def test_merge_joins_signals_by_cgroup():
    assert merge(
        {
            "numaMigrations": {7: (1, 2, 3, 4)},
            "hintFaults": {7: (5, 6), 8: (9, 0)},
            "taskMigrations": {},
            "pinMoves": {8: (11,)},
            "syscallMoves": {7: (12,)},
            "scannerSkips": {7: (13,)},
            "remoteDram": {8: (14, 15, 16, 17)},
        }
    ) == {
        7: CgroupCounters(1, 2, 3, 4, 5, 6, syscall_moved_pages=12, scanner_skips=13),
        8: CgroupCounters(0, 0, 0, 0, 9, 0, 0, 11, 0, 0, 14, 15, 16, 17),
    }


def test_counters_add_up():
    assert CgroupCounters(*range(14)) + CgroupCounters(*[10] * 14) == CgroupCounters(*range(10, 24))


def test_every_signal_and_every_counter_has_its_place():
    assert tuple(FIELDS) == SIGNALS
    names = [name for fields in FIELDS.values() for name in fields]
    assert names == list(CgroupCounters._fields)


@pytest.mark.parametrize("signal", SIGNALS)
def test_values_mirror_the_structs_of_the_programs(signal):
    text = source()
    copied = "percpu_hash" if copies(signal, cpus=2) == 2 else "hash"
    kind = re.search(rf'"{copied}", u64, struct (\w+), {signal},', text)
    assert kind
    members = re.search(rf"struct {kind[1]} {{ u64 ([^;]+); }};", text)
    assert members
    assert 8 * len(members[1].split(",")) == value_size(signal)
