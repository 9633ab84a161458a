"""Which figures of a pin's status are written at once, and which with the next in half an hour."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.operator_objects import good_report, two_sockets
from support.operator_parts import Parts

from numapin_api.pin import NumaPinStatus
from numapin_operator.figures import PATIENCE_SECONDS, Figures, alike

AGENT_SECONDS = 900
TIME = "2026-11-23T18:00:00Z"


def status(
    verified: str = "99.7% of the memory (399.0 MiB of 400.0 MiB)",
    *,
    pinned: str = "CPUs 4-7",
    reason: str = "Measured",
    **more: Any,
) -> NumaPinStatus:
    given_ = {
        "observedGeneration": 1,
        "verdict": "Verified",
        "evidence": "Measured",
        "localPercent": 99.7,
        "crossSocketPagesPerSecond": 1.5,
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": why,
                "message": message,
                "lastTransitionTime": TIME,
            }
            for kind, why, message in (
                ("Pinned", "InForce", pinned),
                ("Verified", reason, verified),
            )
        ],
    }
    return NumaPinStatus.model_validate(given_ | more)


@pytest.mark.parametrize(
    ("new", "same"),
    [
        pytest.param(status("99.6% of the memory (1,398.5 MiB of 400.0 MiB)"), True, id="numbers"),
        pytest.param(status(localPercent=98.8), True, id="less than a point"),
        pytest.param(status(localPercent=98.7), False, id="a point"),
        pytest.param(status(localPercent=None), False, id="not known any more"),
        pytest.param(status(crossSocketPagesPerSecond=11.4), True, id="some pages"),
        pytest.param(status(crossSocketPagesPerSecond=11.5), False, id="as many as are allowed"),
        pytest.param(status("99.7% of the memory; one thread"), False, id="another cause"),
        pytest.param(status(evidence="ByPlacement"), False, id="other evidence"),
        pytest.param(status(reason="ByPlacement"), False, id="another reason"),
        pytest.param(status(observedGeneration=2), False, id="another spec"),
        pytest.param(status(pinned="CPUs 4-6"), False, id="other CPUs"),
        pytest.param(status(verdict="Ineffective"), False, id="another verdict"),
    ],
)
def test_what_is_news(new: NumaPinStatus, same: bool):
    assert alike(status(), new) is same


@pytest.mark.parametrize("verdict", ["Drifted", "Conflict", "Pending", "Unplaceable", "Invalid"])
def test_numbers_of_what_is_no_matter_of_figures_are_news(verdict: str):
    """Who set which CPUs when, how much room is free."""
    old, new = (
        status(f"set CPUs 0-{n}", verdict=verdict, evidence=None, reason=verdict) for n in (3, 4)
    )
    assert not alike(old, new)


@given(st.lists(st.tuples(st.integers(0, 900), st.floats(98.8, 100)), max_size=40))
def test_whatever_comes_figures_are_never_older_than_promised_nor_written_more_often(steps):
    figures: Figures[str] = Figures()
    now, last, held = 0, 0, status()
    for seconds, percent in steps:
        now += seconds
        new = status(localPercent=round(percent, 1))
        wait = figures.wait("a", held, new, now=now)
        assert wait <= PATIENCE_SECONDS
        if wait == 0.0:
            if alike(held, new):
                assert now - last >= PATIENCE_SECONDS
            held, last = new, now
            figures.forget("a")


class Refreshing:
    """A pod that is Verified, whose agent refreshes its report each 15 minutes.

    Args:
        counted: whether its node has counters.
    """

    def __init__(self, *, counted: bool = True) -> None:
        self.counted = counted
        self.parts = Parts()
        known = two_sockets()
        if not counted:
            known["capabilities"]["signals"] = [
                {"name": name, "level": "none"} for name in ("numaMigrations", "hintFaults")
            ]
        self.parts.node(status=known)
        self.parts.start()
        self.parts.pod("redis")
        self.parts.settle()
        self.pin = self.parts.cluster.pin("default", "redis")
        self.bytes = 0
        self.refresh()
        assert self.parts.verdicts() == {"redis": "Verified"}
        self.parts.settle(600)
        self.parts.cluster.writes.clear()

    def refresh(self, *, off_home: int = 0) -> None:
        """A report with figures that differ a little from the last one's."""
        self.bytes += 1 << 18
        report = good_report(self.pin, since=self.parts.time())
        report["memory"][1]["bytes"] = self.bytes + off_home
        report["counters"]["hintFaultPagesLocal"] -= self.bytes >> 18
        if not self.counted:
            report["counters"] = None
        self.parts.observe("redis", report)
        self.parts.settle(AGENT_SECONDS)

    @property
    def writes(self) -> list[str]:
        return self.parts.cluster.writes

    @property
    def said(self) -> Any:
        return self.parts.cluster.pin("default", "redis")["status"]


def test_a_refresh_of_figures_costs_one_write_in_half_an_hour():
    pod = Refreshing()
    for _ in range(9):
        pod.refresh()
    assert pod.writes == ["numapins status default/redis"] * 3
    assert pod.said["localPercent"] >= 99.1
    assert pod.parts.verdicts() == {"redis": "Verified"}


def test_the_last_figures_are_told_though_nothing_comes_after_them():
    pod = Refreshing(counted=False)
    pod.refresh()
    assert (pod.writes, pod.said["localPercent"]) == ([], 99.9)
    before = pod.said["conditions"][1]["message"]
    pod.parts.settle(PATIENCE_SECONDS)
    assert len(pod.writes) == 1
    assert pod.said["conditions"][1]["message"] != before


def test_memory_that_moved_by_a_point_is_told_at_once():
    pod = Refreshing()
    pod.refresh(off_home=5 << 20)
    assert pod.writes == ["numapins status default/redis"]
    assert pod.said["localPercent"] < 99


def test_an_operator_that_is_started_anew_writes_no_figures_either():
    pod = Refreshing(counted=False)
    pod.refresh()
    again = pod.parts.again()
    assert again.cluster.writes == []
    again.settle(PATIENCE_SECONDS)
    assert again.cluster.writes == ["numapins status default/redis"]
