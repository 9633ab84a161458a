"""Who is advised a pin, who is not, and in which order."""

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology
from numapin_cli.advise import commands
from numapin_cli.advise.facts import History, Machine, Subject, owner, pinned, subject
from numapin_cli.advise.weigh import WORDS, Advice, rank, weigh
from numapin_cli.live.rates import Rates
from numapin_cli.live.values import Counts, PodReading
from numapin_operator.placement.values import Node, Pinned, Spot
from numapin_operator.requests import Requests

GIB = 1 << 30
SECONDS = 30.0


def node(sockets: int = 2, *, cpus: int = 4, gib: int = 8) -> Node:
    """Sockets of four CPUs and 8 GiB each."""
    sets = [CpuSet(range(cpus * s, cpus * (s + 1))) for s in range(sockets)]
    return Node(
        "numa-0",
        Topology(
            sockets=tuple(Socket(s, sets[s], NodeSet([s])) for s in range(sockets)),
            nodes=tuple(NumaNode(s, sets[s], gib * GIB, s) for s in range(sockets)),
            distances=(),
        ),
        CpuSet(),
        dict.fromkeys(range(sockets), gib * GIB),
    )


MACHINE = Machine(node(), balancing=True)


def obj(**change: object) -> dict:
    """A running pod as the API server sends it; ``limits`` and ``requests`` of its container."""
    resources = {k: change.pop(k) for k in ("limits", "requests") if k in change}
    meta = {
        "name": "redis-0",
        "namespace": "shop",
        "uid": "u",
        "creationTimestamp": "2026-11-25T08:00:00Z",
    }
    return {
        "metadata": meta | change,
        "spec": {"nodeName": "numa-0", "containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": "Running"},
    }


# What was counted in 30 s: 60 ms and 500 pages a second, four of ten sampled pages remote.
HOT = Counts(24_000, 15_000, 1.8, 6_000, 4_000, 60, cpu_seconds=45)
FILES = Counts(300_000, None, None, None, None, None, cpu_seconds=45)
CALM = Counts(10, 5, 0.001, 9_990, 10, 1, cpu_seconds=45)


def about(
    counts: Counts | None = HOT,
    *,
    memory: dict[int, int] | None = None,
    threads: int | None = 8,
    confined: tuple[int, ...] = (),
    history: History | None = None,
    **change: object,
) -> Subject:
    reading = PodReading(counts, memory or {0: GIB, 1: GIB}, threads=threads, confined=confined)
    rates = None if counts is None else Rates(SECONDS, counts)
    found = subject(obj(**change), reading=reading, rates=rates, history=history)
    assert found is not None
    return found


def said(advice: Advice) -> str:
    return "\n".join((*advice.evidence, *advice.against, *advice.notes))


@pytest.mark.parametrize(
    ("found", "machine", "word", "why"),
    [
        (about(), MACHINE, "Pin", "60.0 ms a second spent migrating"),
        (about(), MACHINE, "Pin", "500 pages a second change socket"),
        (about(), MACHINE, "Pin", "40 % of 10,000 sampled pages lay on another"),
        (about(CALM), MACHINE, "Quiet", ""),
        # One kind of evidence is enough.
        (about(Counts(seconds=0.03)), MACHINE, "Pin", "1.0 ms"),
        (about(Counts(seconds=0.029)), MACHINE, "Quiet", ""),
        (about(Counts(cross_pages=300)), MACHINE, "Pin", "10 pages a second"),
        (about(Counts(cross_pages=299)), MACHINE, "Quiet", ""),
        (about(Counts(hint_local=600, hint_remote=400)), MACHINE, "Pin", "40 %"),
        # Remote, but seldom: worth a thought only.
        (about(Counts(hint_local=1000, hint_remote=100)), MACHINE, "Consider", "9 % of 1,100"),
        (about(Counts(hint_local=951, hint_remote=49)), MACHINE, "Quiet", ""),
        (about(Counts(hint_local=200, hint_remote=200)), MACHINE, "Quiet", ""),
        # Of a single thread only remote pages are sampled.
        (about(Counts(hint_remote=9000), threads=1), MACHINE, "Quiet", "none of its processes"),
        (about(Counts(hint_remote=9000), threads=None), MACHINE, "Quiet", "threads it has is not"),
        (about(threads=1), MACHINE, "Pin", "none of its processes has a second thread"),
        # Nothing counted is not nothing there.
        (about(None), MACHINE, "Unknown", "nothing is counted on its node"),
        (about(Counts()), replace(MACHINE, balancing=False), "Unknown", "balancing is off"),
        # From memory.stat only, which tells neither where to nor how long.
        (about(FILES), MACHINE, "Consider", "10,000 pages a second change NUMA node; whether"),
        (about(replace(FILES, pages=299)), MACHINE, "Quiet", "that change socket are not counted"),
        (
            about(replace(FILES, pages=None)),
            MACHINE,
            "Unknown",
            "that change socket are not counted",
        ),
        # What forbids it.
        (about(), Machine(node(1)), "Leave", "its node has one socket"),
        (about(confined=(1,)), MACHINE, "Leave", "on socket 1 already, by a cpuset that is not"),
        (about(requests={"cpu": "5"}), MACHINE, "Leave", "too big for a socket.*5 CPU"),
        (about(requests={"memory": "9Gi"}), MACHINE, "Leave", "(?s)too big.*memory=None pins no"),
        (about(memory={0: 5 * GIB, 1: 3 * GIB}), MACHINE, "Leave", "8.0 GiB of memory"),
        (about(replace(HOT, cpu_seconds=121)), MACHINE, "Leave", "4.0 CPUs, a socket has 4"),
        (about(annotations={"numapin.io/memory": "x"}), MACHINE, "Leave", "not understood.*Strict"),
        # What speaks against it.
        (about(limits={"cpu": "6"}), MACHINE, "Consider", "CPU limit of 6 can't be used up on"),
        (about(limits={"memory": "12Gi"}), MACHINE, "Consider", "12.0 GiB.*memory=Preferred"),
        (about(replace(HOT, cpu_seconds=100)), MACHINE, "Consider", "no room to burst"),
        (about(), Machine(None), "Consider", "no NumaNode"),
        (
            about(requests={"cpu": "2"}),
            replace(MACHINE, pins=tuple(Pinned(Spot(s), Requests(3000)) for s in (0, 1))),
            "Consider",
            "no room now: no socket of node numa-0 has room for 2 CPU",
        ),
        (
            about(memory={0: 2 * GIB, 1: 2 * GIB}),
            replace(MACHINE, node=replace(node(), available={0: GIB, 1: GIB})),
            "Consider",
            "no room now.*1.0 GiB of memory available",
        ),
        # What was before.
        (
            about(CALM, history=History(replace(HOT, seconds=72), 7200)),
            MACHINE,
            "Consider",
            "quiet in this window, but 10.0 ms and 2 pages a second on average over the 2 hours",
        ),
        (about(CALM, history=History(HOT, None)), MACHINE, "Quiet", ""),
        (about(CALM, history=History(Counts(), 7200)), MACHINE, "Quiet", ""),
        (about(annotations={"kubernetes.io/config.mirror": "x"}), MACHINE, "Pin", "its manifest"),
    ],
)
def test_weigh(found, machine, word, why):
    advice = weigh(found, machine)
    assert advice.word == word, said(advice)
    assert re.search(why, said(advice)), said(advice)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"numapin.io/pin": "true"}},
        {"deletionTimestamp": "2026-11-25T08:00:00Z"},
    ],
)
def test_who_is_not_asked_about(change):
    assert subject(obj(**change)) is None


def test_a_pod_that_has_ended_or_waits_is_not_asked_about():
    for phase in ("Pending", "Succeeded", "Failed"):
        assert subject(obj() | {"status": {"phase": phase}}) is None


def test_a_wrong_value_of_the_label_is_put_right():
    found = about(labels={"numapin.io/pin": "True"})
    assert commands.label(found) == (
        "kubectl label pod redis-0 -n shop --overwrite numapin.io/pin=true"
    )


def ref(kind: str, name: str, *, controller: bool = True) -> dict:
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": controller}]}


@pytest.mark.parametrize(
    ("meta", "found"),
    [
        ({}, None),
        (ref("StatefulSet", "redis"), ("StatefulSet", "redis")),
        (ref("StatefulSet", "redis", controller=False), None),
        (
            ref("ReplicaSet", "web-6d4cf") | {"labels": {"pod-template-hash": "6d4cf"}},
            ("Deployment", "web"),
        ),
        (ref("ReplicaSet", "web-6d4cf"), ("ReplicaSet", "web-6d4cf")),
        (ref("Node", "numa-0"), ("Node", "numa-0")),
    ],
)
def test_owner(meta, found):
    assert owner(meta) == found


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (ref("StatefulSet", "redis"), "kubectl patch statefulset redis -n shop -p '{"),
        (ref("Job", "once"), None),
        (ref("Node", "numa-0") | {"annotations": {"kubernetes.io/config.mirror": "x"}}, None),
        ({}, None),
    ],
)
def test_the_command_for_all_pods_of_an_owner(meta, words):
    found = commands.keep(about(**meta))
    if words is None:
        assert found is None
        return
    assert found is not None
    assert found.startswith(words)
    assert '"template":{"metadata":{"labels":{"numapin.io/pin":"true"}}}' in found


def test_a_static_pod_is_labelled_in_its_manifest_only():
    assert commands.label(about(annotations={"kubernetes.io/config.mirror": "x"})) is None


def test_what_pins_take(pin):
    one = pin(spec={"podUID": "u", "socket": 1})
    pods = [obj(requests={"cpu": "1"})]
    assert pinned([one], pods) == {"numa-0": (Pinned(Spot(1), Requests(1000)),)}
    assert pinned([pin(spec={"podUID": "other"})], pods) == {}
    assert pinned([pin(spec={"podUID": "u", "mode": "Observe"})], pods) == {}
    assert (
        pinned([pin(spec={"podUID": "u", "socket": None, "cpus": None, "mems": None})], pods) == {}
    )
    ended = obj() | {"status": {"phase": "Succeeded"}}
    assert pinned([one], [ended]) == {}


amounts = st.floats(0, 1e9, allow_nan=False)
counted = st.builds(Counts, *[amounts] * 6, cpu_seconds=st.none() | amounts)
subjects = st.builds(
    about,
    st.none() | counted,
    threads=st.none() | st.integers(0, 64),
    confined=st.sampled_from([(), (), (0,), (0, 1)]),
    history=st.none() | st.builds(History, counted, st.none() | st.floats(1, 1e7)),
    name=st.text("abc", min_size=1, max_size=3),
    limits=st.dictionaries(
        st.sampled_from(["cpu", "memory"]), st.integers(1, 1 << 34).map(str), max_size=2
    ),
    requests=st.dictionaries(st.sampled_from(["cpu"]), st.integers(0, 8).map(str)),
)
machines = st.builds(
    Machine,
    st.none() | st.builds(node, st.integers(1, 4)),
    st.just(()),
    st.none() | st.booleans(),
)


@given(subjects, machines)
def test_a_pin_is_advised_only_on_evidence_and_with_nothing_against_it(found, machine):
    advice = weigh(found, machine)
    assert advice.word in WORDS
    if advice.word == "Pin":
        assert advice.evidence
        assert not advice.against
        assert machine.node is not None
        assert len(machine.node.topology.sockets) > 1
        assert not found.reading.confined
    if advice.word in {"Consider", "Leave"}:
        assert advice.evidence
    if found.rates is None:
        assert advice.word != "Pin"


@given(subjects, machines)
def test_what_a_single_thread_was_sampled_for_is_no_evidence(found, machine):
    assume(found.rates is not None)
    single = replace(found, reading=replace(found.reading, threads=1))
    counts = replace(found.rates.counts, hint_local=0, hint_remote=0)
    unsampled = replace(single, rates=Rates(SECONDS, counts))
    assert weigh(single, machine).evidence == weigh(unsampled, machine).evidence


advised = st.lists(st.builds(weigh, subjects, machines), max_size=6)


@given(advised, st.randoms())
def test_the_order_is_of_the_pods_and_not_of_the_list(advice, random):
    found = rank(advice)
    assert sorted(map(id, found)) == sorted(map(id, advice))
    assert [WORDS.index(a.word) for a in found] == sorted(WORDS.index(a.word) for a in advice)
    names = [a.subject.pod.key for a in advice]
    if len(set(names)) == len(names):
        assert rank(random.sample(advice, len(advice))) == found


@given(counted, counted)
def test_who_costs_more_by_every_measure_never_stands_below(one, two):
    worse = Counts(
        max(one.pages, two.pages),
        max(one.cross_pages, two.cross_pages),
        max(one.seconds, two.seconds),
        0,
        max(one.hint_remote, two.hint_remote),
    )
    better = Counts(
        min(one.pages, two.pages),
        min(one.cross_pages, two.cross_pages),
        min(one.seconds, two.seconds),
        0,
        min(one.hint_remote, two.hint_remote),
    )
    assume(worse != better)
    first, second = (
        Advice(subject=about(c, name=name), word="Pin") for c, name in ((worse, "z"), (better, "a"))
    )
    found = rank([second, first])
    if round(1000 * worse.seconds / SECONDS) != round(1000 * better.seconds / SECONDS) or (
        worse.hint_remote,
        worse.cross_pages,
    ) != (better.hint_remote, better.cross_pages):
        assert found == [first, second]


def test_migration_time_comes_first_then_remote_faults_then_pages():
    def of(name: str, ms: float, remote: float, pages: float) -> Advice:
        counts = Counts(cross_pages=pages, seconds=ms / 1000 * SECONDS, hint_remote=remote)
        return Advice(subject=about(counts, name=name), word="Pin")

    order = [
        of("a", 40, 0, 0),
        of("b", 10.2, 900, 0),
        # Not told apart by less than a millisecond, but by what is remote.
        of("c", 10.4, 800, 50),
        of("d", 10.4, 800, 40),
        of("e", 9, 5000, 5000),
    ]
    quiet = replace(of("f", 90, 9000, 9000), word="Quiet")
    assert [a.subject.pod.key.name for a in rank([quiet, *order[::-1]])] == list("abcdef")
