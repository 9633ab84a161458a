import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_api.errors import LabError
from numapin_lab.config import TOPOLOGIES, memory_mib, node_names, topology

LAYOUTS = {
    # name: CPUs of each NUMA node, sockets
    "2s": (["0-1", "2-3"], 2),
    "2s-snc2": (["0-1", "2-3", "4-5", "6-7"], 2),
    "4s": (["0-1", "2-3", "4-5", "6-7"], 4),
    "1s": (["0-3"], 1),
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_layout(name: str) -> None:
    shape = topology(name)
    cpus, sockets = LAYOUTS[name]
    assert [shape.cpulist(node) for node in range(shape.nodes)] == cpus
    assert shape.sockets == sockets


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("2s", [[10, 21], [21, 10]]),
        (
            "2s-snc2",
            [[10, 12, 21, 21], [12, 10, 21, 21], [21, 21, 10, 12], [21, 21, 12, 10]],
        ),
        ("1s", [[10]]),
    ],
)
def test_distances(name: str, matrix: list[list[int]]) -> None:
    shape = topology(name)
    nodes = range(shape.nodes)
    assert [[shape.distance(a, b) for b in nodes] for a in nodes] == matrix


def test_unknown_topology_names_what_is_allowed() -> None:
    with pytest.raises(LabError, match=r"'3s' is unknown; allowed are 2s, 2s-snc2, 4s, 1s"):
        topology("3s")


def test_node_names() -> None:
    assert node_names(3) == ("numa-0", "numa-1", "numa-2")


@pytest.mark.parametrize("count", [-1, 0, 5])
def test_impossible_node_counts(count: int) -> None:
    with pytest.raises(LabError, match=rf"--nodes {count} is not possible; allowed are 1 to 4"):
        node_names(count)


@pytest.mark.parametrize(
    ("count", "available", "expected"),
    [
        (1, 24_000, (6144,)),
        (2, 24_000, (6144, 4096)),
        (2, 12_000, (4416, 4096)),
        (1, 7_000, (3904,)),
    ],
)
def test_memory(count: int, available: int, expected: tuple[int, ...]) -> None:
    assert memory_mib(count, available) == expected


def test_too_little_memory_says_what_is_needed() -> None:
    with pytest.raises(LabError, match=r"2 node\(s\) need 9216 MiB.*8000 MiB are available"):
        memory_mib(2, 8000)


@given(count=st.integers(1, 4), available=st.integers(0, 200_000))
def test_memory_never_takes_what_the_machine_needs_itself(count: int, available: int) -> None:
    try:
        given_out = memory_mib(count, available)
    except LabError:
        return
    assert sum(given_out) <= available - 3 * 1024
    for shape in TOPOLOGIES.values():
        assert all(mib % shape.nodes == 0 for mib in given_out)
