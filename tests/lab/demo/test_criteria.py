"""What the demo must show: one row for each way to fail."""

from dataclasses import replace

import pytest

from numapin_api.cpulist import NodeSet
from numapin_lab.demo.criteria import PodResult, check, memory_percent
from numapin_lab.demo.report import NodeMemory


def memory(*sizes):
    return tuple(NodeMemory(node=n, bytes=size) for n, size in enumerate(sizes))


GOOD = PodResult(
    name="hopper",
    worst_case=True,
    pages_per_second_before=8000,
    cross_socket_pages_per_second_after=0,
    memory_after=memory(5, 95),
    mems=NodeSet([1]),
    verdict="Verified",
)


def test_all_met():
    assert all(c.met for c in check(GOOD))
    assert len(check(GOOD)) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pages_per_second_before": 199}, "hopper migrated 199 pages/s before (at least 200)"),
        ({"cross_socket_pages_per_second_after": 10.1}, "10.1 pages/s between sockets after"),
        ({"memory_after": memory(6, 94)}, "has 94.0 % of its memory"),
        ({"memory_after": ()}, "has an unknown share of its memory"),
        ({"mems": None}, "it was not pinned"),
        ({"verdict": "Pending"}, "has verdict Pending"),
        ({"verdict": None}, "has verdict none"),
    ],
)
def test_one_not_met(change, said):
    failed = [c for c in check(replace(GOOD, **change)) if not c.met]
    assert len(failed) == 1
    assert said in failed[0].text


def test_only_the_worst_case_must_migrate_before():
    calm = replace(GOOD, worst_case=False, pages_per_second_before=0)
    assert all(c.met for c in check(calm))


@pytest.mark.parametrize(
    ("sizes", "mems", "expected"),
    [((1, 3), [1], 75), ((1, 3), [0, 1], 100), ((1, 3), [], 0), ((0, 0), [0], None)],
)
def test_memory_percent(sizes, mems, expected):
    assert memory_percent(memory(*sizes), NodeSet(mems)) == expected
