"""The rules of pinning, as tables."""

import pytest
from support.steps import (
    ALL,
    BOTH,
    CPUS,
    GIB,
    MIB,
    ONE,
    PINNED,
    TWO_THREE,
    done,
    order,
    pair,
    past,
    view,
)

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
from numapin_agent.pin.values import ContainerCpuset


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
