"""The client's lines, and what they come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_lab.latency.requests import Batch, between, parse, slow, summary

LINES = """
PONG
1764100000.250000 180 190 20300
Could not connect to Redis at 127.0.0.1:6379: Connection refused
1764100000.5 200
1764100001.0
1764100001.0 12x
"""
BATCHES = [Batch(1764100000.25, (180, 190, 20300)), Batch(1764100000.5, (200,))]


def test_only_lines_of_requests_count():
    assert parse(LINES.splitlines()) == BATCHES


@pytest.mark.parametrize(
    ("begin", "end", "found"),
    [(0, 2e9, 2), (1764100000.25, 1764100000.25, 1), (1764100000.3, 2e9, 1), (0, 1, 0)],
)
def test_a_window_holds_what_ended_in_it(begin, end, found):
    assert len(between(BATCHES, begin, end)) == found


def test_figures_are_of_all_requests():
    found = summary(BATCHES)
    assert found is not None
    assert (found.count, found.p50, found.p99, found.maximum) == (4, 0.19, 20.3, 20.3)
    assert slow(BATCHES, 20.3) == 1
    assert slow(BATCHES, 20.301) == 0


def test_no_request_has_no_figures():
    assert summary([]) is None
    assert summary([Batch(1.0, ())]) is None


@given(st.lists(st.integers(1, 10**7), min_size=1))
def test_percentiles_are_seen_requests_in_order(times):
    found = summary([Batch(1.0, tuple(times))])
    assert found is not None
    figures = [found.p50, found.p99, found.p999, found.maximum]
    assert figures == sorted(figures)
    assert {round(1000 * f) for f in figures} <= set(times)
    assert sum(t <= 1000 * found.p50 + 0.5 for t in times) >= len(times) / 2
