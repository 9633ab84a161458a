"""The numbers that benches report are worked out right, and shown with care."""

import math

import pytest
from bench.harness import percentile
from bench.run import shown
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 50, 7),
        ([3, 1, 2], 50, 2),
        ([1, 2, 3, 4], 50, 2),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
        ([5, 1], 0, 1),
        ([5, 1], 100, 5),
    ],
)
def test_percentile(values, percent, expected):
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1], -1), ([1], 101)])
def test_no_percentile(values, percent):
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.integers(0, 100))
def test_percentile_is_one_of_the_values_and_covers_its_share(values, percent):
    found = percentile(values, percent)
    assert found in values
    assert sum(v <= found for v in values) * 100 >= percent * len(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.8, "1,234,568"),
        (99.5, "99.50"),
        (1.234, "1.23"),
        (0.012345, "0.0123"),
        (0, "0"),
        (-4.2, "-4.20"),
        (math.nan, "-"),
    ],
)
def test_shown(value, text):
    assert shown(value) == text
