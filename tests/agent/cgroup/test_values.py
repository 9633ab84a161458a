"""memory.numa_stat, memory.stat and cpu.stat as kernels print them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.cgroup.values import (
    MOVABLE_KEYS,
    RESIDENT_KEYS,
    parse_flat_keyed,
    parse_numa_stat,
)
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CgroupError

NUMA_STAT = """\
anon N0=419430400 N1=8192
file N0=1048576 N1=2097152
kernel_stack N0=49152 N1=16384
pagetables N0=872448 N1=0
sec_pagetables N0=0 N1=0
shmem N0=524288 N1=0
file_mapped N0=4096 N1=40960
file_dirty N0=0 N1=0
anon_thp N0=414187520 N1=0
inactive_anon N0=419430400 N1=8192
active_anon N0=0 N1=0
slab_reclaimable N0=1000 N1=2000
slab_unreclaimable N0=3000 N1=4000
workingset_refault_anon N0=7 N1=7
"""


def test_each_resident_page_counts_once():
    memory = parse_numa_stat(NUMA_STAT)
    assert memory.resident == {
        0: 419430400 + 1048576 + 49152 + 872448 + 1000 + 3000,
        1: 8192 + 2097152 + 16384 + 2000 + 4000,
    }
    assert memory.movable == {0: 419430400 + 4096, 1: 8192 + 40960}
    assert memory.file == {0: 1048576, 1: 2097152}
    assert memory.shmem == {0: 524288, 1: 0}
    assert memory.mapped == {0: 4096, 1: 40960}


def test_a_kernel_that_does_not_say_what_is_mapped():
    assert parse_numa_stat("anon N0=1 N1=2\nfile N0=4 N1=0\n").mapped == {}


@pytest.mark.parametrize(
    ("nodes", "off"),
    [("0", 49152), ("1", 419434496), ("0-1", 0), ("", 419483648), ("3", 419483648)],
)
def test_bytes_off_the_target(nodes, off):
    assert parse_numa_stat(NUMA_STAT).off(NodeSet.parse(nodes)) == off


def test_sparse_nodes_and_unknown_lines():
    memory = parse_numa_stat("anon N0=1 N8=2\nbalderdash X\nfile N8=4 N0=0\n")
    assert memory.resident == {0: 1, 8: 6}


@pytest.mark.parametrize("line", ["anon 0=1", "anon N=1", "anon N0", "file N0=-1", "anon N0=1k"])
def test_malformed_is_an_error(line):
    with pytest.raises(CgroupError, match=r"is not N<node>=<bytes>"):
        parse_numa_stat(line)


@given(
    st.dictionaries(
        st.sampled_from(sorted({*RESIDENT_KEYS, *MOVABLE_KEYS, "shmem", "anon_thp"})),
        st.dictionaries(st.integers(0, 9), st.integers(0, 1 << 50)),
    )
)
def test_total_is_the_sum_of_the_keys_that_count(table):
    text = "\n".join(
        key + "".join(f" N{n}={size}" for n, size in row.items()) for key, row in table.items()
    )
    total = sum(sum(row.values()) for key, row in table.items() if key in RESIDENT_KEYS)
    assert sum(parse_numa_stat(text).resident.values()) == total


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("usage_usec 12\nuser_usec 5\n", "usage_usec", 12),
        ("numa_pages_migrated 0\n", "numa_pages_migrated", 0),
        ("user_usec 5\n", "usage_usec", None),
        ("", "usage_usec", None),
    ],
)
def test_flat_keyed(text, key, expected):
    assert parse_flat_keyed(text, key) == expected


def test_flat_keyed_malformed():
    with pytest.raises(CgroupError, match="usage_usec: 'x' is not a number"):
        parse_flat_keyed("usage_usec x", "usage_usec")
