"""What becomes of a trace: one row for each case, in the words of its object."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.pods import PodView
from numapin_agent.traces.decide import UNSEEN_SECONDS, Begin, End, Here, Queue, decide
from numapin_api.trace import NumaTrace

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
REDIS = PodView()
HERE = Here("numa-0", "numapin-system", {("shop", "redis"): REDIS}, most=2)


def trace(name="a", *, namespace="shop", pod="redis", phase=None, age=0, **more):
    return NumaTrace.read(
        {
            "apiVersion": "numapin.io/v1alpha1",
            "kind": "NumaTrace",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "creationTimestamp": NOON - timedelta(seconds=age),
                **more,
            },
            "spec": {"nodeName": "numa-0", "podName": pod, "probe": "syscalls"},
            "status": {"phase": phase} if phase else None,
        }
    )


def decided(*traces, running=(), told=(), seconds=0.0, here=HERE):
    known = {t.metadata.uid: seconds for t in traces}
    return decide(traces, here, running=running, told=told, known=known)


def test_a_pod_that_is_here_is_traced():
    assert decided(one := trace()) == [Begin(one, REDIS)]


def test_a_whole_node_is_traced_from_numapins_own_namespace():
    assert decided(one := trace(namespace="numapin-system", pod=None)) == [Begin(one, None)]


@pytest.mark.parametrize(
    ("given", "phase", "reason", "said"),
    [
        ({"pod": None}, "Refused", "NodeNotAllowed", "from namespace numapin-system only"),
        ({"pod": "web"}, "Refused", "PodNotFound", "no pod shop/web on node numa-0"),
        ({"namespace": "bank"}, "Refused", "PodNotFound", "no pod bank/redis on node numa-0"),
        ({"phase": "Running"}, "Failed", "AgentRestarted", "started anew"),
    ],
)
def test_what_gets_no_answer(given, phase, reason, said):
    (end,) = decided(trace(**given), seconds=UNSEEN_SECONDS)
    assert isinstance(end, End)
    assert (end.phase, end.reason) == (phase, reason)
    assert said in end.message


def test_a_pod_may_be_seen_a_little_after_its_trace():
    assert decided(trace(pod="web"), seconds=UNSEEN_SECONDS - 1) == []


@pytest.mark.parametrize(
    "given",
    [
        {"phase": "Done"},
        {"phase": "Failed"},
        {"phase": "Refused"},
        {"deletionTimestamp": NOON},
    ],
)
def test_what_is_over_is_left_alone(given):
    assert decided(trace(**given)) == []


def test_what_runs_or_was_told_is_left_alone():
    assert decided(trace("a"), trace("b"), running={"uid-a"}, told={"uid-b"}) == []


def test_a_trace_of_another_node_is_left_alone():
    assert decided(trace(), here=Here("numa-1", "numapin-system", HERE.pods, 1)) == []


def test_the_oldest_come_first_and_the_rest_wait_and_are_told_so_once():
    young, old, middle = trace("a", age=1), trace("b", age=30), trace("c", age=20)
    begun = [Begin(old, REDIS), Begin(middle, REDIS)]
    assert decided(young, old, middle) == [*begun, Queue(young)]
    assert decided(young, old, middle, running={"uid-b"}) == [begun[1], Queue(young)]
    assert decided(trace("a", age=1, phase="Queued"), old, middle) == begun
    assert decided(trace("a", phase="Queued")) == [Begin(trace("a", phase="Queued"), REDIS)]


def test_those_that_wait_keep_nobody_from_being_refused():
    waits, refused = trace("a"), trace("b", pod=None)
    assert [type(one) for one in decided(waits, refused, running={"x", "y"})] == [End, Queue]


def test_a_namespace_that_asks_for_many_keeps_another_waiting_for_one_of_them():
    many = [trace(f"m{n}", age=90 - n) for n in range(3)]
    one = trace("one", namespace="bank")
    here = Here("numa-0", "numapin-system", {**HERE.pods, ("bank", "redis"): REDIS}, most=2)
    assert decided(*many, one, here=here)[:2] == [Begin(many[0], REDIS), Begin(one, REDIS)]
    assert decided(*many, one, here=here, running={"uid-m0"})[0] == Begin(one, REDIS)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12), st.integers(0, 4))
def test_never_more_at_once_than_allowed(traces, most):
    made = [
        trace(f"t{n}", pod="redis" if good else None, age=age)
        for n, (age, good) in enumerate(traces)
    ]
    running = {"uid-t0", "uid-t1"} if most >= 2 else set()
    found = decided(*made, running=running, here=Here("numa-0", "ns", HERE.pods, most))
    begun = [one for one in found if isinstance(one, Begin)]
    assert len(begun) + len(running) <= max(most, len(running))
    assert not {one.trace.metadata.uid for one in found} & running
