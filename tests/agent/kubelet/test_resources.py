"""The kubelet's messages: right, and refused when they make no sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kubelet_server import allocatable, container, data, device, number, pod, pods, varint

from numapin_agent.kubelet.protobuf import MalformedError, fields, int64s, text
from numapin_agent.kubelet.resources import Holder, Resources, resources
from numapin_api.cpulist import CpuSet
from numapin_api.errors import KubeletError


def holders(*found: bytes) -> list[tuple[str, tuple[int, ...]]]:
    return [(h.name, h.numa_nodes) for h in resources(pods(*found), b"").holders or ()]


@pytest.mark.parametrize(
    ("found", "nodes"),
    [
        (pod("a", container(device(0))), (0,)),
        (pod("a", container(device(1))), (1,)),
        (pod("a", container(device(1, 0))), (0, 1)),
        (pod("a", container(device(1)), container(device(3), device(1))), (1, 3)),
        (pod("a", container(device())), ()),
        (pod("a", container(device(), device(1))), (1,)),
        (pod("a", container(claims=1)), ()),
    ],
)
def test_pods_that_hold_devices_and_where(found: bytes, nodes: tuple[int, ...]) -> None:
    assert holders(found) == [("a", nodes)]


def test_pods_without_devices_are_not_named() -> None:
    assert holders(pod("a", container()), pod("b"), pod("c", container(cpus=[1]))) == []


def test_pods_are_in_order_whatever_the_kubelet_says_first() -> None:
    listed = pods(
        pod("b", container(device(0)), namespace="y"),
        pod("a", container(device(0)), namespace="y"),
        pod("c", container(device(0)), namespace="x"),
    )
    assert [(h.namespace, h.name) for h in resources(listed, b"").holders or ()] == [
        ("x", "c"),
        ("y", "a"),
        ("y", "b"),
    ]


def test_exclusive_cpus_of_containers_and_of_pods() -> None:
    listed = pods(
        pod("a", container(cpus=[4, 5]), container(cpus=[300])), pod("b", container(), cpus=[7, 8])
    )
    assert resources(listed, b"").exclusive == CpuSet({4, 5, 7, 8, 300})


@pytest.mark.parametrize(("cpus", "reserved"), [((), ""), ((2, 3), "0-1"), ((0, 1, 2, 3), "")])
def test_what_a_static_kubelet_does_not_offer_is_reserved(
    cpus: tuple[int, ...], reserved: str
) -> None:
    assert str(resources(b"", allocatable(*cpus)).reserved(CpuSet(range(4)))) == reserved


def test_a_node_without_pods_holds_nothing() -> None:
    assert resources(b"", b"") == Resources(holders=())


def test_fields_of_later_versions_are_skipped() -> None:
    later = number(90, 5) + data(91, "x") + varint(92 << 3 | 1) + bytes(8) + varint(93 << 3 | 5)
    found = pods(pod("a", container(device(1)) + later + bytes(4)) + number(99, 1)) + number(98, 2)
    assert resources(found, b"").holders == (Holder("default", "a", (1,)),)


@pytest.mark.parametrize(
    "listed",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0b\x00",
        b"\x00\x00",
        b"\xff" * 11,
        number(1, 5),
        data(1, number(3, 1)),
        data(1, data(1, b"\xff\xfe")),
        pods(pod("a", container(device(-1)))),
        pods(pod("a", container(device(1 << 40)))),
        pods(pod("a", container(cpus=[-1]))),
        pods(pod("a", container(cpus=[1 << 40]))),
    ],
)
def test_what_makes_no_sense_is_refused(listed: bytes) -> None:
    with pytest.raises(KubeletError, match="makes no sense"):
        resources(listed, b"")


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_no_bytes_do_any_harm(listed: bytes, offered: bytes) -> None:
    try:
        found = resources(listed, offered)
    except KubeletError:
        return
    assert found.holders is not None


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_come_back_as_they_were(value: int) -> None:
    ((field, found),) = fields(memoryview(number(7, value)))
    assert field == 7
    assert list(int64s(found)) == [value]
    assert list(int64s(memoryview(varint(value) * 2))) == [value, value]


@given(st.text(max_size=50))
def test_text_comes_back_as_it_was(value: str) -> None:
    ((_, found),) = fields(memoryview(data(2, value)))
    assert text(found) == value


def test_text_where_a_number_is_makes_no_sense() -> None:
    with pytest.raises(MalformedError, match="number 5"):
        text(5)
