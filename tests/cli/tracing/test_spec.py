"""From options to what a NumaTrace asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.trace.question import PROBES, Question, QuestionError
from numapin_cli.tracing.rights import advice
from numapin_cli.tracing.spec import OfNode, OfPod, spec, whole_seconds, whom

NOBODY = {"pod": None, "node": None, "local": False}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"pod": "shop/redis-0"}, OfPod("redis-0", "shop")),
        ({"pod": "redis-0"}, OfPod("redis-0", None)),
        ({"pod": "redis-0", "namespace": "shop"}, OfPod("redis-0", "shop")),
        ({"pod": "shop/redis-0", "namespace": "shop"}, OfPod("redis-0", "shop")),
        ({"node": "numa-0"}, OfNode("numa-0", None)),
        ({"node": "numa-0", "numapin_namespace": "infra"}, OfNode("numa-0", "infra")),
        ({"local": True}, None),
    ],
)
def test_whom(said, meant):
    assert whom(**NOBODY | said) == meant


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "say whom to ask about: one of --pod, --node and --local"),
        ({"pod": "a", "node": "b"}, "exclude each other: one of --pod, --node and --local"),
        ({"pod": "a", "local": True}, "exclude each other"),
        ({"pod": "a", "node": "b", "local": True}, "exclude each other"),
        ({"node": "b", "namespace": "shop"}, "-n shop goes with --pod only"),
        ({"local": True, "namespace": "shop"}, "-n shop goes with --pod only"),
        ({"pod": "a", "numapin_namespace": "x"}, "--numapin-namespace x goes with --node only"),
        ({"pod": "shop/a", "namespace": "bank"}, "--pod shop/a and -n bank contradict each other"),
        ({"pod": ""}, "--pod '': must be NAMESPACE/POD or POD"),
        ({"pod": "/a"}, "--pod '/a': must be"),
        ({"pod": "a/"}, "--pod 'a/': must be"),
        ({"pod": "a/b/c"}, "--pod 'a/b/c': must be"),
        ({"node": ""}, "--node '': must be the name of a node"),
    ],
)
def test_whom_makes_no_sense(said, why):
    with pytest.raises(QuestionError) as refused:
        whom(**NOBODY | said)
    assert why in str(refused.value)


@given(st.integers(1, 600))
def test_whole_seconds(seconds):
    assert whole_seconds(seconds * 10**9) == seconds


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [
        (0, "--duration 0 s"),
        (500_000_000, "--duration 0.5 s"),
        (1_500_000_000, "--duration 1.5 s: must be whole seconds, from 1s to 10m"),
        (601 * 10**9, "--duration 601 s"),
    ],
)
def test_durations_that_no_trace_takes(nanoseconds, said):
    with pytest.raises(QuestionError, match=said):
        whole_seconds(nanoseconds)


@pytest.mark.parametrize(
    ("question", "pod", "wire"),
    [
        (Question("timers"), None, {"probe": "timers"}),
        (
            Question("spike", threshold=5_000_000),
            "redis-0",
            {"probe": "spike", "podName": "redis-0", "thresholdNanoseconds": 5_000_000},
        ),
        (
            Question("function", "tcp_sendmsg", stacks=True),
            "redis-0",
            {
                "probe": "function",
                "podName": "redis-0",
                "function": "tcp_sendmsg",
                "stacks": True,
            },
        ),
    ],
)
def test_spec(question, pod, wire):
    common = {
        "nodeName": "numa-0",
        "durationSeconds": 30,
        "stacks": False,
        "ttlSecondsAfterFinished": 600,
    }
    assert spec(question, node="numa-0", pod=pod, seconds=30).wire() == common | wire


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_can_be_asked(probe):
    question = Question(probe, "vfs_read" if probe == "function" else None)
    assert spec(question, node="n", pod="p", seconds=1).probe == probe


@pytest.mark.parametrize(
    ("question", "node", "said"),
    [
        (Question("spike", threshold=601 * 10**9), "numa-0", "--threshold 601000000000: "),
        (Question("spike"), "Numa_0", "--node 'Numa_0': "),
    ],
)
def test_what_no_trace_takes_is_named_by_its_option(question, node, said):
    with pytest.raises(QuestionError, match=said):
        spec(question, node=node, pod=None, seconds=1)


@pytest.mark.parametrize(
    ("refusal", "command"),
    [
        (
            'pods "a" is forbidden: User "jane" cannot get resource "pods"',
            "--clusterrole=numapin-tracer --user=jane -n shop",
        ),
        ('User "Jane Doe" cannot', "--user='Jane Doe' -n shop"),
        ("no reason given", "--user=USER -n shop"),
    ],
)
def test_a_missing_right_comes_with_how_it_is_given(refusal, command):
    said = advice(refusal, namespace="shop")
    assert said.startswith(refusal)
    assert said.endswith(command)
