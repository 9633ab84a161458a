"""What the programs are told of a machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import machine

from numapin_agent.counters.layout import NO_SOCKET, max_cgroups, socket_indexes
from numapin_agent.counters.signals import FIELDS, copies, value_size
from numapin_api.topology import Topology

TWO_SOCKETS = machine("S0[N0 0-1 1G] S1[N1 2-3 1G]")
SNC2 = machine("S0[N0 0 1G, N1 1 1G] S1[N2 2 1G, N3 3 1G]")
CXL = machine("S0[N0 0-1 1G] S1[N1 2-3 1G] N2 - 1G")
SPARSE = machine("S36[N0 0-1 1G] S3[N8 4-5 1G]")


@pytest.mark.parametrize(
    ("topology", "cpus", "by_cpu", "by_node"),
    [
        (TWO_SOCKETS, 4, (1, 1, 2, 2), (1, 2)),
        (TWO_SOCKETS, 6, (1, 1, 2, 2, 0, 0), (1, 2)),
        (SNC2, 4, (1, 1, 2, 2), (1, 1, 2, 2)),
        (CXL, 4, (1, 1, 2, 2), (1, 2, NO_SOCKET)),
        (SPARSE, 6, (2, 2, 0, 0, 1, 1), (2, 0, 0, 0, 0, 0, 0, 0, 1)),
        (Topology((), (), ()), 2, (0, 0), ()),
    ],
)
def test_sockets_by_cpu_and_node(topology, cpus, by_cpu, by_node):
    assert socket_indexes(topology, cpus) == (by_cpu, by_node)


@given(st.integers(1, 8192))
def test_maps_stay_between_room_for_a_full_node_and_their_budget(cpus):
    entries = max_cgroups(cpus)
    assert 1024 <= entries <= 2048
    per_entry = sum(cpus * value_size(n) for n in FIELDS if copies(n, cpus=2) == 2)
    assert entries * per_entry <= 16 << 20 or entries == 1024
