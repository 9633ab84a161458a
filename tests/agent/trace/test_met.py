"""What is known of a process, and when it is looked at again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.trace.met import Met, both, start_time
from numapin_agent.trace.symbols import Region


def mapped(text: str) -> list[Region]:
    """Regions such as "0-4:a 8-9:b"."""
    found = []
    for one in text.split():
        span, path = one.split(":")
        start, end = map(int, span.split("-"))
        found.append(Region(start, end, 0, path))
    return found


@pytest.mark.parametrize(
    ("newer", "older", "known"),
    [
        ("", "", ""),
        ("0-4:a", "", "0-4:a"),
        ("", "0-4:a", "0-4:a"),
        ("0-4:a", "0-4:a", "0-4:a"),
        ("0-4:a", "4-8:b", "0-4:a 4-8:b"),
        ("4-8:b", "0-4:a", "0-4:a 4-8:b"),
        ("2-6:b", "0-3:a", "2-6:b"),
        ("2-6:b", "5-9:a", "2-6:b"),
        ("2-6:b", "0-9:a", "2-6:b"),
        ("0-9:b", "2-6:a", "0-9:b"),
        ("0-2:a 8-9:b", "3-5:c 7-9:d", "0-2:a 3-5:c 8-9:b"),
    ],
)
def test_what_is_mapped_now_goes_before_what_was(newer: str, older: str, known: str):
    assert both(mapped(newer), mapped(older)) == mapped(known)


@st.composite
def maps(draw: st.DrawFn) -> list[Region]:
    ends = sorted(draw(st.sets(st.integers(0, 40), max_size=12)))
    return [
        Region(start, end, 0, draw(st.sampled_from("abc")))
        for start, end in zip(ends[::2], ends[1::2], strict=False)
    ]


@given(maps(), maps())
def test_each_address_is_in_one_region_at_most_and_the_newest(newer, older):
    met = Met("x", "", both(newer, older))
    assert list(met.regions) == sorted(met.regions, key=lambda one: one.start)
    for address in range(41):
        now, before, told = (
            next((r for r in where if r.start <= address < r.end), None)
            for where in (newer, older, met.regions)
        )
        assert met.region(address) == told
        assert told == now or (now is None and told in {None, before})
        assert sum(r.start <= address < r.end for r in met.regions) <= 1


def test_looks_come_ever_more_seldom():
    met, now, looks = Met("x", "", first=0.0), 0.0, 0
    while now < 600:
        met.again(now)
        now, looks = met.due, looks + 1
    assert looks == 11


@pytest.mark.parametrize(
    ("stat", "started"),
    [
        ("7 (redis) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 4 0 1234 99 1", "1234"),
        ("7 (a) b) S) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 4 0 1234 99 1", "1234"),
        ("", ""),
    ],
)
def test_when_a_process_started(stat: str, started: str):
    assert start_time(stat) == started
