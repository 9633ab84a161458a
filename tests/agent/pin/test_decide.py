"""The rules of pinning, as tables and as a simulated world that every order must end in."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.cgroup.values import Cpuset, Residency
from numapin_agent.pin import decide
from numapin_agent.pin.decide import (
    Apply,
    Hold,
    MovePages,
    NarrowMems,
    Observe,
    Refuse,
    TakeBaseline,
    Unpin,
    Wait,
    find_conflict,
    next_step,
)
from numapin_agent.pin.values import ContainerCpuset, MoveOutcome, Past, PinOrder, Record, View
from numapin_api.cpulist import CpuSet, NodeSet

MIB = 1 << 20
GIB = 1 << 30
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = ("0-3", "0-1")


def pair(text):
    cpus, mems = text
    return Cpuset(CpuSet.parse(cpus), NodeSet.parse(mems))


def order(cpus="2-3", mems="1", memory="Strict", mode="Enforce", headroom=10):
    return PinOrder(
        namespace="default",
        name="web",
        uid="u",
        generation=1,
        mode=mode,
        cpus=None if cpus is None else CpuSet.parse(cpus),
        mems=None if mems is None else NodeSet.parse(mems),
        memory=memory,
        headroom_percent=headroom,
    )


def view(effective=ALL, far=0, near=0, age=1000.0, free=(3 * GIB, 3 * GIB), **more):
    return replace(
        View(
            effective=pair(effective),
            parent=pair(ALL),
            guaranteed=False,
            containers=(),
            memory=Residency(resident={}, movable={0: far, 1: near}),
            age_seconds=age,
            processes=2,
            available=dict(enumerate(free)),
            capacity={0: 4 * GIB, 1: 4 * GIB},
        ),
        **more,
    )


def past(written=None, *, guarded=False, hasty=False, history=60.0, **more):
    record = None
    if written is not None:
        cpus, mems = written
        record = Record(
            uid="u",
            namespace="default",
            name="web",
            cpus=CpuSet.parse(cpus),
            mems=NodeSet.parse(mems),
            time=NOW,
            guarded=guarded,
            hasty=hasty,
        )
    return Past(record=record, history_seconds=history, **more)


def done(left, mems="1", error=None, age=1.0):
    return MoveOutcome(mems=NodeSet.parse(mems), left=left, error=error, age_seconds=age)


TWO_THREE = CpuSet.parse("2-3")
ONE = NodeSet.parse("1")
BOTH = NodeSet.parse("0-1")
PINNED = ("2-3", "1")
CPUS = ("2-3", "0-1")


@pytest.mark.parametrize(
    ("what", "given_order", "given_view", "given_past", "step"),
    [
        ("no cgroup yet", order(), None, past(), Wait()),
        ("observing", order(mode="Observe"), view(), past(), Observe()),
        ("observing from now on", order(mode="Observe"), view(PINNED), past(PINNED), Unpin()),
        ("not to be pinned", order(cpus=None, mems=None), view(), past(), Observe()),
        ("no longer pinned", order(cpus=None), view(PINNED), past(PINNED), Unpin()),
        ("new pod", order(), view(age=0, processes=0), past(history=0), Apply(TWO_THREE, ONE)),
        (
            "only a sandbox so far",
            order(),
            view(far=MIB, age=900, processes=1),
            past(history=0),
            Apply(TWO_THREE, ONE),
        ),
        ("running, no history", order(), view(far=GIB), past(history=29.9), TakeBaseline()),
        ("running, history", order(), view(far=GIB), past(history=30.0), Apply(TWO_THREE)),
        ("little off the socket", order(), view(far=3 * MIB), past(), Apply(TWO_THREE, ONE)),
        ("too much for PID 1", order(), view(far=30 * MIB), past(), Apply(TWO_THREE)),
        (
            "CPUs there, 30 MB off",
            order(),
            view(CPUS, far=30 * MIB),
            past(("2-3", "")),
            NarrowMems(ONE),
        ),
        ("CPUs there, 1 GB off", order(), view(CPUS, far=GIB), past(("2-3", "")), MovePages(ONE)),
        (
            "moving",
            order(),
            view(CPUS, far=GIB),
            past(("2-3", ""), moving=True),
            MovePages(ONE),
        ),
        (
            "nearly all moved, still at it",
            order(),
            view(CPUS, far=MIB),
            past(("2-3", ""), moving=True),
            MovePages(ONE),
        ),
        (
            "moved, but the figure is stale",
            order(),
            view(CPUS, far=GIB),
            past(("2-3", ""), outcome=done(10 * MIB)),
            NarrowMems(ONE),
        ),
        (
            "accepted: gets on no more, and it is not much",
            order(),
            view(CPUS, far=200 * MIB),
            past(("2-3", ""), outcome=done(200 * MIB)),
            NarrowMems(ONE),
        ),
        (
            "moved to another socket before",
            order(),
            view(CPUS, far=GIB),
            past(("2-3", ""), outcome=done(0, mems="0")),
            MovePages(ONE),
        ),
        (
            "tried again later",
            order(),
            view(CPUS, far=GIB),
            past(("2-3", ""), outcome=done(GIB, age=300)),
            MovePages(ONE),
        ),
        ("pinned", order(), view(PINNED, near=GIB), past(PINNED), Hold()),
        ("right by chance", order(), view(PINNED, near=GIB), past(), Apply(TWO_THREE)),
        (
            "much, but all of it there: not by PID 1's hand",
            order(),
            view(CPUS, near=GIB),
            past(("2-3", "")),
            NarrowMems(ONE),
        ),
        (
            "somebody changed the CPUs",
            order(),
            view(("0-3", "1"), near=GIB),
            past(PINNED),
            Apply(TWO_THREE),
        ),
        (
            "somebody widened the memory long ago, the socket is full of the pod itself",
            order(),
            view(CPUS, far=200 * MIB, near=3 * GIB, free=(GIB, 210 * MIB)),
            past(PINNED),
            MovePages(ONE),
        ),
        (
            "to the other socket: CPUs first",
            order(),
            view(("0-1", "0"), far=GIB),
            past(("0-1", "0")),
            Apply(TWO_THREE),
        ),
        (
            "to the other socket: both memories while pages move",
            order(),
            view(("2-3", "0"), far=GIB),
            past(("2-3", "0")),
            Apply(mems=BOTH),
        ),
        (
            "CPUs only",
            order(memory="None"),
            view(far=GIB),
            past(),
            Apply(TWO_THREE),
        ),
        ("CPUs only, there", order(mems=None), view(CPUS), past(("2-3", "")), Hold()),
        (
            "CPUs only, memory pinned before",
            order(memory="None"),
            view(PINNED),
            past(PINNED),
            Apply(mems=BOTH),
        ),
        (
            "Preferred, runs low: widened",
            order(memory="Preferred"),
            view(PINNED, near=GIB, free=(GIB, 409 * MIB)),
            past(PINNED),
            Apply(mems=BOTH, guarded=True),
        ),
        (
            "Strict, below the headroom: stays",
            order(),
            view(PINNED, near=GIB, free=(GIB, 82 * MIB)),
            past(PINNED),
            Hold(),
        ),
        (
            "Strict, nothing left: widened before the kernel kills",
            order(),
            view(PINNED, near=GIB, free=(GIB, 81 * MIB)),
            past(PINNED),
            Apply(mems=BOTH, guarded=True),
        ),
        (
            "Strict, was widened, no room: stays widened, CPUs too",
            order(),
            view(CPUS, near=GIB, far=MIB, free=(GIB, 500 * MIB)),
            past(CPUS, guarded=True),
            "NoRoom",
        ),
        (
            "Strict, was widened, room again, but only just now",
            order(),
            view(CPUS, near=GIB, free=(GIB, 3 * GIB)),
            past(CPUS, guarded=True, guarded_seconds=599),
            "RanLow",
        ),
        (
            "Strict, was widened, room for ten minutes",
            order(),
            view(CPUS, near=GIB, free=(GIB, 3 * GIB)),
            past(CPUS, guarded=True, guarded_seconds=600),
            NarrowMems(ONE),
        ),
        (
            "all the memory there is: nothing to widen to",
            order(mems="0-1"),
            view(("2-3", "0-1"), near=GIB, free=(0, 0)),
            past(("2-3", "0-1")),
            Hold(),
        ),
        (
            "Preferred with a headroom of nothing: the last resort",
            order(memory="Preferred", headroom=0),
            view(PINNED, near=GIB, free=(GIB, 81 * MIB)),
            past(PINNED),
            Apply(mems=BOTH, guarded=True),
        ),
        (
            "widened in a hurry: systemd is told first of all",
            order(),
            view(CPUS, near=GIB, free=(GIB, 3 * GIB)),
            past(CPUS, guarded=True, hasty=True, guarded_seconds=0),
            Apply(mems=BOTH, guarded=True),
        ),
        (
            "widened in a hurry, then memory is no longer wanted: told all the same",
            order(memory="None"),
            view(CPUS, near=GIB),
            past(CPUS, guarded=True, hasty=True),
            Apply(mems=BOTH, guarded=True),
        ),
        (
            "Preferred, room again but only just: hysteresis",
            order(memory="Preferred"),
            view(CPUS, near=GIB, free=(GIB, 420 * MIB)),
            past(CPUS, guarded=True),
            "NoRoom",
        ),
        (
            "Preferred, room again",
            order(memory="Preferred"),
            view(CPUS, near=GIB, free=(GIB, 700 * MIB)),
            past(CPUS, guarded=True),
            NarrowMems(ONE),
        ),
        (
            "Strict without room is refused",
            order(),
            view(far=2 * GIB, free=(GIB, 2 * GIB)),
            past(),
            "NoRoom",
        ),
        (
            "Preferred without room: CPUs meanwhile",
            order(memory="Preferred"),
            view(far=2 * GIB, free=(GIB, 2 * GIB)),
            past(),
            Apply(TWO_THREE),
        ),
        (
            "no capability, big",
            order(),
            view(CPUS, far=65 * MIB),
            past(("2-3", ""), immovable="no SYS_PTRACE"),
            "CannotMovePages",
        ),
        (
            "no capability, small",
            order(),
            view(CPUS, far=64 * MIB),
            past(("2-3", ""), immovable="no SYS_PTRACE"),
            NarrowMems(ONE),
        ),
        (
            "does not get on, and it is much",
            order(),
            view(CPUS, far=GIB),
            past(("2-3", ""), outcome=done(GIB)),
            "NotConverging",
        ),
        (
            "could not be moved",
            order(),
            view(CPUS, far=GIB),
            past(("2-3", ""), outcome=done(GIB, error="process 7: ENODEV")),
            "PageMoveFailed",
        ),
        ("CPUs that the parent lacks", order(cpus="8-9"), view(), past(), "OutsideParent"),
        ("nodes that the parent lacks", order(mems="7"), view(), past(), "OutsideParent"),
        ("a CPU went offline", order(cpus="2-5"), view(PINNED), past(("2-5", "1")), Hold()),
        ("a fight", order(), view(ALL), past(PINNED, drifts=6), "Conflict"),
        ("no fight yet", order(), view(ALL), past(PINNED, drifts=5), Apply(TWO_THREE, ONE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_next_step(what, given_order, given_view, given_past, step):
    found = next_step(given_order, given_view, given_past)
    if isinstance(step, str):
        assert isinstance(found, Refuse | Hold)
        assert found.problem is not None
        assert found.problem.reason == step
    else:
        assert found == step


def test_a_refusal_for_lack_of_room_gives_the_numbers():
    found = next_step(order(), view(far=2 * GIB, free=(GIB, 2 * GIB)), past())
    assert isinstance(found, Refuse)
    for number in (2 * GIB, 4 * GIB * 10 // 100, 4 * GIB):
        assert str(number) in found.problem.message
    assert "NUMA nodes 1" in found.problem.message


def container(own=("", ""), effective=PINNED, name="app"):
    return ContainerCpuset(id="c" * 64, name=name, own=pair(own), effective=pair(effective))


@pytest.mark.parametrize(
    ("what", "guaranteed", "containers", "words"),
    [
        ("inherits", False, [container()], None),
        ("own CPUs on the other socket", False, [container(own=("0-1", ""))], "nothing in common"),
        ("own memory on the other socket", False, [container(own=("", "0"))], "nothing in common"),
        ("shared pool around the socket", True, [container(own=("1-3", ""))], None),
        ("exclusive on the socket", True, [container(own=("3", ""))], None),
        ("exclusive across", True, [container(own=("1,3", ""))], "only 3 in common"),
        ("shared pool of a Burstable pod", False, [container(own=("1,3", ""))], None),
        ("runs outside", False, [container(effective=("0-3", "1"))], "runs with cpus 0-3"),
        ("sandbox", False, [container(own=("0", ""), name="")], "container cccccccccccc"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_conflicts(what, guaranteed, containers, words):
    seen = view(PINNED, guaranteed=guaranteed, containers=tuple(containers))
    problem = find_conflict(pair(PINNED), seen)
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.reason == "Conflict"
        assert words in problem.message


def test_a_conflict_is_not_fought():
    clash = (container(own=("0-1", "")),)
    found = next_step(order(), view(containers=clash), past())
    assert isinstance(found, Refuse)
    held = next_step(order(), view(PINNED, containers=clash), past(PINNED))
    assert isinstance(held, Hold)
    assert held.problem is not None
    assert "container app has cpuset.cpus 0-1 of its own" in held.problem.message


class World:
    """What steps do to a pod, so that whole ways can be walked."""

    def __init__(self, start, remembered, *, mover):
        self.view, self.past, self.mover = start, remembered, mover
        self.writes = []

    def take(self, step):
        match step:
            case Apply(cpus=cpus, mems=mems, guarded=guarded):
                self.write(cpus, mems, guarded)
            case NarrowMems(mems=mems):
                assert self.past.record is not None
                assert self.view.effective.cpus == self.past.record.cpus
                self.write(None, mems, False)
            case MovePages(mems=mems):
                assert mems <= self.view.effective.mems
                left = self.mover(self.view.memory.off(mems))
                memory = Residency({}, {0: 0 if 0 not in mems else GIB, 1: 0})
                movable = {n: (left if n not in mems else 0) for n in (0, 1)}
                memory = Residency({}, movable)
                outcome = MoveOutcome(mems=mems, left=left, error=None, age_seconds=1)
                self.view = replace(self.view, memory=memory)
                self.past = replace(self.past, outcome=outcome)

    def write(self, cpus, mems, guarded):
        self.writes.append((cpus, mems))
        old = self.past.record or past(("", "")).record
        effective = self.view.effective
        if mems is not None and not guarded and mems != self.view.parent.mems:
            at_once = max(decide.SMALL, decide.ACCEPTABLE)
            moved_by_kernel = self.view.memory.off(mems)
            assert moved_by_kernel <= at_once or effective.mems <= mems
        self.view = replace(
            self.view,
            effective=Cpuset(cpus or effective.cpus, mems or effective.mems),
        )
        record = replace(old, cpus=cpus or old.cpus, mems=mems or old.mems, guarded=guarded)
        self.past = replace(self.past, record=record)


sets = st.sampled_from([ALL, PINNED, CPUS, ("0-1", "0"), ("2-3", "0"), ("0-3", "1")])


@given(
    given_order=st.builds(
        order,
        cpus=st.sampled_from([None, "0-1", "2-3", "7"]),
        mems=st.sampled_from([None, "0", "1", "0-1"]),
        memory=st.sampled_from(["Strict", "Preferred", "None"]),
        mode=st.sampled_from(["Enforce", "Observe"]),
    ),
    effective=sets,
    written=st.none() | sets,
    far=st.sampled_from([0, MIB, 30 * MIB, 300 * MIB, 2 * GIB]),
    free=st.sampled_from([0, 500 * MIB, 2 * GIB, 4 * GIB]),
    history=st.sampled_from([0.0, 60.0]),
    guarded=st.booleans(),
    stuck=st.booleans(),
    immovable=st.none() | st.just("no"),
)
def test_every_way_ends_and_no_way_stalls_the_node(
    *, given_order, effective, written, far, free, history, guarded, stuck, immovable
):
    world = World(
        view(effective, far=far, near=far, free=(free, free)),
        past(written, guarded=guarded, history=history, immovable=immovable),
        mover=(lambda off: off) if stuck else (lambda off: off // 100),
    )
    for _ in range(10):
        step = next_step(given_order, world.view, world.past)
        if isinstance(step, Hold | Refuse | Observe | Unpin | TakeBaseline | Wait):
            break
        world.take(step)
    else:
        pytest.fail(f"no end: {world.writes}, then {step}")
    if given_order.mode == "Observe":
        assert world.writes == []
    if isinstance(step, Hold) and step.problem is None:
        assert given_order.cpus is not None
        assert world.view.effective.cpus == given_order.cpus
        if given_order.memory == "Strict" and given_order.mems is not None:
            assert world.view.effective.mems == given_order.mems
