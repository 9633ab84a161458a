"""What the tables and the JSON of status and nodes say."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_api.cpulist import CpuSet
from numapin_cli.views import nodes, status
from numapin_cli.views.units import age, cpus, plural, size


def lines(rendered: str) -> list[str]:
    """Lines with single spaces."""
    return [" ".join(line.split()) for line in rendered.splitlines()]


def pod(name: str, **change) -> dict:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "creationTimestamp": "2026-11-23T11:59:50Z",
        },
        "spec": {"nodeName": "numa-0"},
    } | change


def test_status_of_a_verified_pod_fits_80_columns(pin, now, text):
    found = status.rows([pin()], [])
    assert lines(text(status.table(found, now=now, namespaces=True))) == [
        "NAMESPACE POD NODE SOCKET CPUS MEMS VERDICT EVIDENCE LOCAL CROSS/S AGE",
        "shop redis-0 numa-0 1 2-3 1 Verified Measured 99.0% 1.0 10m",
    ]


def test_status_of_a_pod_on_several_sockets_names_them_all(pin, now, text):
    split = pin(spec={"socket": 0, "sockets": [0, 1], "cpus": "0-3", "mems": "0-1"})
    assert status.row(split).sockets == [0, 1]
    assert status.row(pin()).sockets == [1]
    said = lines(text(status.table([status.row(split)], now=now, namespaces=False)))
    assert said[1].startswith("redis-0 numa-0 0,1 0-3 0-1 ")


def test_status_lists_opted_in_pods_that_have_no_pin(pin, now, text):
    found = status.rows([pin()], [pod("redis-0"), pod("redis-1"), pod("a", spec={})])
    assert [(r.name, r.verdict, r.node) for r in found] == [
        ("a", None, None),
        ("redis-0", "Verified", "numa-0"),
        ("redis-1", None, "numa-0"),
    ]
    assert found[2].message == "there is no NumaPin for this pod yet"
    assert "redis-1 numa-0 - - - - - - - 10s" in lines(
        text(status.table(found, now=now, namespaces=False))
    )


def test_status_says_why_a_pod_is_not_pinned(pin):
    refused = pin(
        spec={"socket": None, "cpus": None, "mems": None},
        status={
            "verdict": "Unplaceable",
            "conditions": [
                {
                    "type": "Pinned",
                    "status": "False",
                    "reason": "NoRoom",
                    "message": "no socket has 4 CPUs left",
                    "lastTransitionTime": "2026-11-23T11:00:00Z",
                }
            ],
        },
    )
    assert status.row(refused).message == "no socket has 4 CPUs left"


def test_status_of_a_pin_that_nobody_has_touched(pin, now, text):
    row = status.row(pin(status=None))
    assert (row.verdict, row.phase, row.message) == (None, None, "")
    assert "-" in text(status.table([row], now=now, namespaces=False))


def test_nodes_line_by_line(numa_node, text):
    found = nodes.views([numa_node()], ["numa-0", "numa-1"])
    assert lines(text(nodes.table(found), 120)) == [
        "NODE READY AGENT SOCKET NUMA CPUS USED AVAILABLE SIGNALS",
        "numa-0 yes 0.1.0 0 0 0-1 - 2.0 GiB of 3.0 GiB fentry, pinMoves none",
        "1 1 2-3 - 1.0 GiB of 3.0 GiB",
        "- 2 none 8.0 GiB of 8.0 GiB",
        "numa-1 - - - - - - - -",
        "",
        "numa-0: pinMoves is had by none: no such tracepoint",
        "numa-1: no numapin agent has reported from this node",
    ]


def test_nodes_say_what_is_taken_and_by_whom(numa_node, text):
    taken = numa_node(
        status={
            "usage": {
                "sockets": [{"id": 0, "cpuMillicores": 1250}, {"id": 1, "cpuMillicores": 0}],
                "nodes": [
                    {
                        "id": 0,
                        "memoryAvailableBytes": 2 << 30,
                        "hugepagesFree": [{"size": "2Mi", "pages": 100}],
                    }
                ],
            },
            "exclusiveCpus": "1",
            "devices": [{"namespace": "shop", "name": "camera", "numaNodes": [0]}],
            "neighbours": [{"name": "koordlet", "standDown": True, "message": "a koordlet runs"}],
            "capabilities": {"signals": [], "devicesUnknown": "there is no kubelet.sock"},
        }
    )
    (found,) = nodes.views([taken], [])
    assert [s.cpu_millicores for s in found.sockets] == [1250, 0]
    assert [h.pages for h in found.numa_nodes[0].hugepages_free] == [100]
    rendered = lines(text(nodes.table([found]), 120))
    assert rendered[1].startswith("numa-0 yes 0.1.0 0 0 0-1 1.2 2.0 GiB")
    assert rendered[-4:] == [
        "numa-0: koordlet: a koordlet runs; numapin pins nothing here",
        "numa-0: CPUs 1 are given to single containers",
        "numa-0: 1 pod with devices",
        "numa-0: which pods hold devices is not known: there is no kubelet.sock",
    ]


def test_nodes_fit_80_columns(numa_node, text):
    rendered = text(nodes.table(nodes.views([numa_node()], [])), 80)
    assert "2.0 GiB of 3.0 GiB" in rendered
    assert "…" not in rendered


def test_a_node_that_is_not_ready_says_why(numa_node):
    broken = numa_node(
        status={
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "TopologyUnreadable",
                    "message": "node1/meminfo is missing",
                    "lastTransitionTime": "2026-11-23T11:00:00Z",
                }
            ]
        }
    )
    (found,) = nodes.views([broken], [])
    assert (found.ready, found.message) == (False, "node1/meminfo is missing")


def test_a_socket_without_a_numa_node_of_its_own(numa_node, text):
    shared = numa_node(
        status={
            "topology": {
                "sockets": [
                    {"id": 0, "cpus": "0", "nodes": [0]},
                    {"id": 1, "cpus": "1", "nodes": [0]},
                ],
                "nodes": [{"id": 0, "cpus": "0-1", "memoryBytes": 3 << 30}],
                "distances": [[10]],
            }
        }
    )
    rendered = text(nodes.table(nodes.views([shared], [])), 100)
    assert rendered.count("shared") == 2
    assert "2.0 GiB of 3.0 GiB" in rendered


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), (3101741056, "2.9 GiB")],
)
def test_size(amount, said):
    assert size(amount) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (-5, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (172800, "2d")],
)
def test_age(now, seconds, said):
    assert age(now - timedelta(seconds=seconds), now) == said
    assert age(None, now) == "-"


@pytest.mark.parametrize(
    ("ids", "width", "said"),
    [
        ("0-63", 12, "0-63"),
        ("0,2,4,6,8,10,12,14", 17, "0,2,4,6,..,14 (8)"),
        ("0,2,4,6,8,10,12,14", 18, "0,2,4,6,8,10,12,14"),
        ("", 12, ""),
    ],
)
def test_cpus_that_fit(ids, width, said):
    assert cpus(CpuSet.parse(ids), width) == said


@given(st.sets(st.integers(0, 8191), max_size=200), st.integers(24, 80))
def test_cpus_never_exceed_their_room(ids, width):
    found = CpuSet(ids)
    said = cpus(found, width)
    assert len(said) <= width
    assert said == str(found) or f"({len(found)})" in said


def test_plural():
    assert (plural(1, "socket"), plural(2, "socket")) == ("1 socket", "2 sockets")
