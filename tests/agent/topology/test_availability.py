"""Available memory per NUMA node, by the arithmetic of mm/show_mem.c."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sysfs_tree import Style, machine, write

from numapin_agent.availability import (
    NO_ZONES,
    Zones,
    available,
    parse_meminfo,
    parse_zones,
    short,
)
from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import available_memory
from numapin_api.errors import TopologyError

ZONEINFO = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 1
      nr_active_file 9
  pages free     3840
        boost    0
        min      66
        low      82
        high     98
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 2866, 2866, 2866, 2866)
      nr_free_pages 3840
  pagesets
    cpu: 0
              count: 0
              high:  7777
              batch: 1
Node 0, zone    DMA32
  pages free     600000
        min      100
        low      200
        high     300
        managed  700000
        protection: (0, 0, 0)
Node 0, zone  Movable
  pages free     0
        min      0
        low      0
        high     0
        spanned  0
        present  0
        managed  0
        protection: (0, 0, 0)
Node 1, zone   Normal
  pages free     5
        min      10
        low      20
        high     30
        managed  25
        protection: (0, 0, 0)
"""


def test_zones_by_hand():
    assert parse_zones(ZONEINFO, page_bytes=4096) == {
        0: Zones(
            low=(82 + 200) * 4096,
            reserve=((2866 + 98) + 300) * 4096,
            floor=((2866 + 82) + 200) * 4096,
        ),
        # never more than the zone manages
        1: Zones(low=20 * 4096, reserve=25 * 4096, floor=20 * 4096),
    }


def test_a_numa_node_that_kswapd_has_given_up():
    """As the kernel prints it, for each zone that has pages."""
    text = ZONEINFO + "  node_unreclaimable:  1\n  start_pfn:           9\n"
    zones = parse_zones(text.replace("  pagesets", "  node_unreclaimable:  0\n  pagesets"),
                        page_bytes=4096)  # fmt: skip
    assert {node: z.given_up for node, z in zones.items()} == {0: False, 1: True}


def test_no_zoneinfo():
    assert parse_zones("", page_bytes=4096) == {}


MIB = 1 << 20


@pytest.mark.parametrize(
    ("memory", "zones", "mib"),
    [
        ({"MemFree": 100}, NO_ZONES, 100),
        ({"MemFree": 100}, Zones(low=10, reserve=30), 70),
        ({"MemFree": 10}, Zones(low=10, reserve=30), 0),
        ({"MemFree": 100, "Active(file)": 40, "Inactive(file)": 60}, Zones(10, 30), 160),
        ({"MemFree": 100, "Active(file)": 4, "Inactive(file)": 6}, Zones(10, 30), 75),
        ({"MemFree": 0, "SReclaimable": 100}, Zones(10, 0), 90),
        ({"MemFree": 0, "SReclaimable": 50, "KReclaimable": 100}, Zones(10, 0), 90),
        ({"MemFree": 0, "Shmem": 100, "Active(anon)": 100, "Cached": 100}, NO_ZONES, 0),
    ],
)  # fmt: skip
def test_available(memory, zones, mib):
    in_bytes = {k: v * MIB for k, v in memory.items()}
    assert available(in_bytes, Zones(zones.low * MIB, zones.reserve * MIB)) == mib * MIB


# min 10, low 20, high 30; 1000 of page cache.
@pytest.mark.parametrize(
    ("free", "hopeless", "protected", "found", "is_short"),
    [
        (500, False, 0, 500 - 30 + 1000 - 20, False),
        # A node full of cache that churns: kswapd keeps up, or is behind for a moment.
        (25, False, 0, 1000 - 25, False),
        (15, False, 0, 1000 - 35, True),
        (5, False, 0, 1000 - 45, True),
        # Nothing of it could be reclaimed, 16 times on end.
        (35, True, 0, 5, False),
        (20, True, 0, 0, True),
        (5, True, 0, 0, True),
        # Long before that: cache that memory.min keeps is none.
        (500, False, 900, 500 - 30 + 100 - 20, False),
        (500, False, 1000, 470, False),
        (500, False, 2000, 470, False),
        (25, False, 1000, 0, False),
    ],
)
def test_page_cache_that_can_not_be_had_is_not_available(
    free, hopeless, protected, found, is_short
):
    zones = Zones(low=20, reserve=30, floor=20)
    memory = {"MemFree": free, "Active(file)": 400, "Inactive(file)": 600}
    assert available(memory, zones, protected=protected, hopeless=hopeless) == found
    assert short(memory, zones) is is_short


@given(
    st.fixed_dictionaries(
        {k: st.integers(0, 1 << 45) for k in ("MemFree", "Active(file)", "SReclaimable")}
    ),
    st.builds(Zones, low=st.integers(0, 1 << 40), reserve=st.integers(0, 1 << 40)),
)
def test_available_is_between_nothing_and_all(memory, zones):
    assert 0 <= available(memory, zones) <= sum(memory.values())


def test_meminfo_of_a_node_and_of_the_machine():
    node = "Node 3 MemTotal:   8 kB\nNode 3 MemFree:  4 kB\nNode 3 HugePages_Free: 9\n"
    assert parse_meminfo(node) == {"MemTotal": 8192, "MemFree": 4096}
    assert parse_meminfo("MemFree: 4 kB\nActive(file): 1 kB") == {
        "MemFree": 4096,
        "Active(file)": 1024,
    }


def test_available_memory_by_node(tmp_path):
    write(machine(sockets=2, memory_only=1), tmp_path)
    (tmp_path / "proc/zoneinfo").write_text(ZONEINFO)
    gib = 1 << 30
    assert available_memory(HostPaths(tmp_path), page_bytes=4096) == {
        0: gib - 3264 * 4096,
        1: 2 * gib - 25 * 4096,
        2: 3 * gib,
    }


def test_cache_that_memory_min_keeps_is_left_out(tmp_path):
    write(machine(sockets=2), tmp_path)
    for node, kib in ((0, 1000), (1, 1000)):
        file = tmp_path / f"sys/devices/system/node/node{node}/meminfo"
        file.write_text(f"Node {node} MemFree: 100 kB\nNode {node} Active(file): {kib} kB\n")
    pods = tmp_path / "sys/fs/cgroup/kubepods.slice"
    pods.mkdir(parents=True)
    (pods / "memory.min").write_text(f"{500 << 10}\n")
    (pods / "memory.current").write_text(f"{700 << 10}\n")
    (pods / "memory.numa_stat").write_text(
        f"file N0=0 N1={600 << 10}\ninactive_file N0=0 N1={500 << 10}\n"
    )
    assert available_memory(HostPaths(tmp_path), page_bytes=4096) == {
        0: 1100 << 10,
        1: 800 << 10,
    }


def test_available_memory_without_numa(tmp_path):
    write(machine(sockets=2), tmp_path, Style(node_dirs=False))
    assert available_memory(HostPaths(tmp_path), page_bytes=4096) == {0: 3 << 30}


def test_cut_meminfo_is_named(tmp_path):
    write(machine(sockets=2), tmp_path)
    (tmp_path / "sys/devices/system/node/node1/meminfo").write_text("Node 1 MemTotal: 9 kB\n")
    with pytest.raises(TopologyError, match=r"node1/meminfo: no line 'MemFree: N kB'"):
        available_memory(HostPaths(tmp_path), page_bytes=4096)


def test_agrees_with_a_real_kernel():
    """Files of a two-socket guest with Linux 6.12, read within one second.

    The kernel halves cache and slab for the whole machine, we for each NUMA node: with
    enough of both the sums are the same.
    """
    paths = HostPaths(Path(__file__).with_name("linux-6.12-two-sockets"))
    kernel = parse_meminfo(paths.meminfo.read_text())["MemAvailable"]
    ours = available_memory(paths, page_bytes=4096)
    assert ours.keys() == {0, 1}
    assert sum(ours.values()) == pytest.approx(kernel, rel=0.01)
