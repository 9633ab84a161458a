"""Orders, views and pasts of one pod in short, for tests of the next step of its pin."""

from dataclasses import replace
from datetime import UTC, datetime

from numapin_agent.cgroup.values import Cpuset, Residency
from numapin_agent.pin.values import MoveOutcome, Past, PinOrder, Record, View
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
