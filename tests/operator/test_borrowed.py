"""What a verdict says of files that a pod uses on another socket and others are charged for."""

import pytest
from support.machines import TWO, machine
from support.reports import counters, eyes, memory, observed, spec

from numapin_api.cpulist import NodeSet
from numapin_api.pin import Borrowed
from numapin_operator.checks import Eyes, beyond_it, residency, users
from numapin_operator.dram import NAME
from numapin_operator.verdict import judge

MIB = 1 << 20
HOME = NodeSet.parse("1")
MODEL = Borrowed(path="/data/model.bin", node=0, bytes=64 * MIB, pods=["web-1"])


def test_nothing_where_there_is_nothing_or_it_is_at_home():
    assert beyond_it(observed(), HOME) == ""
    assert beyond_it(observed(borrowed=[MODEL.model_copy(update={"node": 1})]), HOME) == ""


def test_one_file():
    assert beyond_it(observed(borrowed=[MODEL]), HOME) == (
        "; beyond it about 64.0 MiB of files that others are charged for is on NUMA node 0: "
        "/data/model.bin (mapped by pod web-1, too)"
    )


def test_several_files():
    library = Borrowed(path="/usr/lib/libtorch.so", node=2, bytes=16 * MIB, others=2)
    assert beyond_it(observed(borrowed=[MODEL, library]), HOME) == (
        "; beyond it about 80.0 MiB of files that others are charged for is on NUMA nodes 0,2: "
        "64.0 MiB of /data/model.bin (mapped by pod web-1, too), "
        "16.0 MiB of /usr/lib/libtorch.so (mapped by 2 other pods, too)"
    )


def test_of_a_long_path_the_end():
    long = MODEL.model_copy(update={"path": "/srv/" + "d" * 200 + "/model.bin"})
    said = beyond_it(observed(borrowed=[long]), HOME)
    assert "NUMA node 0: ...ddd" in said
    assert "ddd/model.bin (" in said
    assert len(said) < 200


@pytest.mark.parametrize(
    ("pods", "others", "said"),
    [
        ([], 0, "no other pod maps it"),
        ([], 1, "mapped by 1 other pod, too"),
        ([], 7, "mapped by 7 other pods, too"),
        (["a"], 0, "mapped by pod a, too"),
        (["a"], 1, "mapped by pods a and 1 more, too"),
        (["a", "b", "c"], 0, "mapped by pods a, b, c, too"),
        (["a", "b", "c", "d", "e"], 4, "mapped by pods a, b, c and 6 more, too"),
    ],
)
def test_who_else_maps_it(pods: list[str], others: int, said: str):
    assert users(MODEL.model_copy(update={"pods": pods, "others": others})) == said


@pytest.mark.parametrize(("resident", "ok"), [({"N1": 400}, True), ({"N0": 400}, False)])
def test_residency_says_it_and_is_not_changed_by_it(resident: dict[str, int], ok: bool):
    seen = observed(memory=memory(**resident))
    without = residency(spec(), seen, machine(TWO))
    found = residency(spec(), seen.model_copy(update={"borrowed": [MODEL]}), machine(TWO))
    assert found.message == without.message + beyond_it(observed(borrowed=[MODEL]), HOME)
    assert (found.ok, found.found) == (without.ok, without.found) == (ok, without.found)


def test_no_verdict_rests_on_it():
    much = [MODEL.model_copy(update={"bytes": 1 << 40})]
    found = judge(spec(), observed(borrowed=much), generation=1, seen=eyes())
    assert (found.verdict, found.evidence) == ("Verified", "Measured")
    assert "of files that others are charged for" in found.message


@pytest.mark.parametrize(("remote", "said"), [(60 * 10**6, True), (0, False)])
def test_remote_reads_of_dram_are_explained_by_it(remote: int, said: bool):
    pmu = Eyes(
        topology=machine(TWO),
        levels={"numaMigrations": "fentry", "hintFaults": "fentry", "remoteDram": "perfEvent"},
    )
    window = counters(
        dram_fills_local=60 * 10**6, dram_fills_remote=remote, dram_counted_percent=100.0
    )
    seen = observed(counters=window, borrowed=[MODEL])
    found = judge(spec(), seen, generation=1, seen=pmu)
    dram = next(c for c in found.checks if c.name == NAME)
    assert dram.ok is not said
    assert ("/data/model.bin" in dram.message) is said
