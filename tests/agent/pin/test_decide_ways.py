"""A simulated world that every order must end in, whatever it began with."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.steps import ALL, CPUS, GIB, MIB, PINNED, order, past, view

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
    next_step,
)
from numapin_agent.pin.values import MoveOutcome


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
