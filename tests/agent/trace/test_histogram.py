"""Histograms: the same figures whether the kernel or Python counts, and none ever too good."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.trace import histogram
from numapin_agent.trace.histogram import SLOTS, VALUE_SIZE, Histogram, added, as_data, from_data

values = st.lists(st.integers(0, 1 << 45))


@given(values)
def test_figures_are_those_of_the_values(given_values):
    h = histogram.of(given_values)
    assert h.count == len(given_values) == sum(h.slots)
    assert h.total == sum(given_values)
    assert h.maximum == max(given_values, default=0)
    assert h.average * max(1, h.count) == pytest.approx(h.total)


@given(st.lists(st.integers(0, (1 << 38) - 1), min_size=1), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_a_percentile_is_never_too_low_and_right_to_a_bucket(given_values, share):
    exact = sorted(given_values)[math.ceil(share * len(given_values)) - 1]
    told = histogram.of(given_values).at_most(share)
    assert exact <= told <= max(given_values)
    assert told.bit_length() == exact.bit_length()


@given(values, values)
def test_adding_histograms_is_adding_values(a, b):
    assert histogram.of(a) + histogram.of(b) == histogram.of([*a, *b])
    assert added([histogram.of(a), histogram.of(b)]) == histogram.of([*a, *b])


@given(values)
def test_json_and_back(given_values):
    h = histogram.of(given_values)
    assert from_data(as_data(h)) == h


@given(st.lists(values, min_size=1, max_size=4))
def test_all_cpus_are_added_up(by_cpu):
    made = [histogram.of(one) for one in by_cpu]
    raw = b"".join(struct.pack(f"=3Q{SLOTS}Q", h.count, h.total, h.maximum, *h.slots) for h in made)
    assert histogram.decode(raw) == added(made)


def test_a_bucket_counts_on_where_32_bits_end():
    many = (1 << 32) + 7
    raw = struct.pack(f"=3Q{SLOTS}Q", many, many, 1, 0, many, *[0] * (SLOTS - 2))
    assert histogram.decode(raw * 2).slots[1] == 2 * many


@pytest.mark.parametrize("raw", [b"", b"x", bytes(VALUE_SIZE + 8)])
def test_what_is_no_histogram_is_refused(raw):
    with pytest.raises(ValueError, match="multiple"):
        histogram.decode(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"buckets": [{"from": 3, "to": 7, "count": 1}]},
        {"buckets": [{"from": 1 << 60, "to": 1 << 61, "count": 1}]},
        {"buckets": [{"count": 1}]},
        {"max": None},
    ],
)
def test_data_that_is_none_is_refused(change):
    with pytest.raises(ValueError, match=r"bucket|histogram"):
        from_data({**as_data(histogram.of([5])), **change})


def test_buckets_are_powers_of_two():
    data = as_data(histogram.of([0, 1, 2, 3, 4, 1000]))
    assert [(b["from"], b["to"], b["count"]) for b in data["buckets"]] == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 3, 2),
        (4, 7, 1),
        (512, 1023, 1),
    ]
    assert (data["p50"], data["p99"], data["max"]) == (3, 1000, 1000)


def test_nothing_has_figures_too():
    assert (Histogram().average, Histogram().at_most(0.99)) == (0.0, 0)
