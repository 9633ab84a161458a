"""Verification windows: whole ones only, anew after each pin, ended by a lack of counters."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.ledger import Sample
from numapin_agent.pin.values import Applied, Drift, PinReport
from numapin_agent.track import Track
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.pin import Phase

TIME = datetime(2026, 1, 2, tzinfo=UTC)


def report(phase: Phase = "Pinned", *, cpus: str = "2-3", drifts: int = 0) -> PinReport:
    applied = Applied(CpuSet.parse(cpus), NodeSet({1}), TIME)
    drift = Drift(CpuSet({0}), NodeSet({0}), drifts, TIME) if drifts else None
    return PinReport(phase=phase, applied=applied, drift=drift)


def sample(at: float, pages: int = 0, *, epoch: int = 0) -> Sample:
    return Sample(at, CgroupCounters(migrated_pages=pages), cpu_nanoseconds=int(at), epoch=epoch)


def follow(*looks: tuple[PinReport, Sample | None]) -> Track:
    track = Track()
    for seen, counted in looks:
        track = track.advance(seen, counted, seconds=60)
    return track


def test_a_window_is_published_when_it_is_whole() -> None:
    track = follow((report(), sample(0, 5)), (report(), sample(30, 6)))
    assert track.whole is None
    assert track.over(seconds=60) == 60
    track = track.advance(report(), sample(61, 9), seconds=60)
    assert track.whole is not None
    assert (track.whole.since, track.whole.seconds) == (0, 61)
    assert track.whole.counted == CgroupCounters(migrated_pages=4)
    assert track.over(seconds=60) == 121


def test_the_next_window_begins_where_the_last_ended() -> None:
    track = follow((report(), sample(0)), (report(), sample(60, 7)), (report(), sample(120, 9)))
    assert track.whole is not None
    assert (track.whole.since, track.whole.counted.migrated_pages) == (60, 2)


def test_nothing_is_verified_while_pages_move() -> None:
    track = follow((report("Moving"), sample(0)), (report("Moving"), sample(100)))
    assert track == Track()


def test_another_pin_or_a_drift_begins_anew() -> None:
    for again in (report(cpus="0-1"), report(drifts=1)):
        track = follow((report(), sample(0)), (report(), sample(60)), (again, sample(70)))
        assert track.whole is None
        assert track.start == sample(70)


def test_half_a_window_is_no_measurement() -> None:
    track = follow((report(), sample(0)), (report(), None), (report(), sample(60)))
    assert track.whole is None
    assert track.start == sample(60)
    assert follow((report(), None)).over(seconds=60) is None


def test_a_gap_in_the_counting_begins_anew_and_drops_what_was_whole() -> None:
    track = follow((report(), sample(0)), (report(), sample(60, 7)))
    assert track.whole is not None
    track = track.advance(report(), sample(70, 7, epoch=1), seconds=60)
    assert (track.whole, track.start, track.epoch) == (None, sample(70, 7, epoch=1), 1)
    track = track.advance(report(), sample(130, 9, epoch=1), seconds=60)
    assert track.whole is not None
    assert (track.whole.since, track.whole.counted.migrated_pages) == (70, 2)


def test_a_gap_is_not_forgotten_while_there_are_no_counters() -> None:
    track = follow((report(), sample(0)), (report(), None), (report(), sample(60, epoch=1)))
    assert (track.start, track.epoch) == (sample(60, epoch=1), 1)
    track = follow((report(), sample(0)), (report(), sample(60, 7)), (report(), None))
    track = track.advance(report(), sample(70, epoch=1), seconds=60)
    assert track.whole is None


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 80), st.sampled_from(["count", "none", "gap", "moving"]), st.integers(0)
        ),
        max_size=30,
    )
)
def test_no_window_spans_a_gap(steps: list[tuple[float, str, int]]) -> None:
    """Whatever happens: each window lies within one epoch, and its numbers are of that epoch."""
    track, now, epoch, pages = Track(), 0.0, 0, 0
    gaps = [0.0]
    for pause, what, more in steps:
        now, pages = now + pause, pages + more
        if what == "gap":
            epoch += 1
            gaps.append(now)
        counted = None if what == "none" else sample(now, pages, epoch=epoch)
        track = track.advance(
            report("Moving" if what == "moving" else "Pinned"), counted, seconds=60
        )
        if track.whole is not None:
            since, until = track.whole.since, track.whole.since + track.whole.seconds
            assert not any(since < gap <= until for gap in gaps)
            assert track.whole.counted.migrated_pages >= 0
