"""When a verdict by figures replaces another one."""

from datetime import UTC, datetime

import pytest

from numapin_api.base import Condition
from numapin_api.pin import NumaPinStatus, Observed
from numapin_operator.steady import steadied
from numapin_operator.verdict import Judgement

SINCE = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


def before(verdict, *, windows: int | None, generation: int = 1) -> NumaPinStatus:
    return NumaPinStatus(
        observed_generation=generation,
        observed=Observed(generation=1, phase="Pinned", windows=windows),
        verdict=verdict,
        evidence="Measured" if verdict == "Verified" else None,
    )


@pytest.mark.parametrize(
    ("old", "windows", "new", "figures", "told"),
    [
        # Two windows in a row decide, whichever way it goes.
        ("Verified", 1, "Ineffective", True, "Verified"),
        ("Verified", 2, "Ineffective", True, "Ineffective"),
        ("Verified", 0, "Ineffective", True, "Verified"),
        ("Verified", 1, "NoSignal", True, "Verified"),
        ("Verified", 3, "NoSignal", True, "NoSignal"),
        ("Ineffective", 1, "Verified", True, "Ineffective"),
        ("Ineffective", 2, "Verified", True, "Verified"),
        ("NoSignal", 1, "Verified", True, "NoSignal"),
        ("NoSignal", 1, "Ineffective", True, "NoSignal"),
        # The first verdict after a pin, a drift or a conflict waits for nothing more.
        ("Pending", 1, "Verified", True, "Verified"),
        ("Pending", 1, "Ineffective", True, "Ineffective"),
        ("Drifted", 1, "Verified", True, "Verified"),
        (None, 1, "Verified", True, "Verified"),
        # What does not rest on figures is so.
        ("Verified", 1, "Ineffective", False, "Ineffective"),
        ("Verified", 1, "NoSignal", False, "NoSignal"),
        ("Verified", 1, "Drifted", False, "Drifted"),
        ("Verified", 1, "Conflict", False, "Conflict"),
        ("Verified", 1, "Pending", False, "Pending"),
        # An agent of an earlier version does not say.
        ("Verified", None, "Ineffective", True, "Ineffective"),
    ],
)
def test_table(old, windows, new, figures, told):
    judged = Judgement(new, "10.1 pages/s", by_figures=figures)
    found = steadied(judged, before(old, windows=windows), generation=1)
    assert found.verdict == told
    if told == new:
        assert found is judged
    else:
        assert found.evidence == ("Measured" if old == "Verified" else None)
        assert found.message == (
            f"still {old}; the last figures would make it {new}, and it will be when 2 whole "
            "windows in a row have said so: 10.1 pages/s"
        )


def test_other_terms_start_afresh():
    judged = Judgement("Ineffective", "m", by_figures=True)
    assert steadied(judged, before("Verified", windows=1), generation=2) is judged


def test_a_pin_without_a_report_or_a_status_starts_afresh():
    judged = Judgement("Verified", "m", by_figures=True)
    assert steadied(judged, None, generation=1) is judged
    assert steadied(judged, NumaPinStatus(verdict="Ineffective"), generation=1) is judged


def told(verdict, *, pinned: str, generation: int = 1) -> NumaPinStatus:
    """A status with its conditions and figures."""
    conditions = [("Pinned", pinned, "socket 1"), ("Verified", "Unknown", "as it was")]
    return before(verdict, windows=3, generation=generation).model_copy(
        update={
            "local_percent": 99.7,
            "cross_socket_pages_per_second": 1.5,
            "conditions": [
                Condition.model_validate(
                    {
                        "type": kind,
                        "status": status,
                        "reason": "R",
                        "message": message,
                        "lastTransitionTime": SINCE,
                    }
                )
                for kind, status, message in conditions
            ],
        }
    )


UNSAID = Judgement("Pending", "not said yet", local_percent=98.0, unsaid=True)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (told("Verified", pinned="True"), UNSAID, True),
        (told("Ineffective", pinned="True"), UNSAID, True),
        (told("NoSignal", pinned="True"), UNSAID, True),
        (told("Observing", pinned="False"), Judgement("Observing", "m", unsaid=True), True),
        # A pin that was not in force, a drift, a conflict, or one that nobody has judged.
        (told("Ineffective", pinned="False"), UNSAID, False),
        (told("Drifted", pinned="True"), UNSAID, False),
        (told("Conflict", pinned="True"), UNSAID, False),
        (told("Pending", pinned="True"), UNSAID, False),
        (told("Verified", pinned="True", generation=2), UNSAID, False),
        (before("Verified", windows=3), UNSAID, False),
    ],
)
def test_what_was_told_stays_until_the_agent_says_what_it_can_count(old, new, kept):
    found = steadied(new, old, generation=1)
    if not kept:
        assert found is new
        return
    assert (found.verdict, found.evidence, found.message) == (
        old.verdict,
        old.evidence,
        "as it was",
    )
    assert (found.local_percent, found.cross_socket_pages_per_second) == (99.7, 1.5)
