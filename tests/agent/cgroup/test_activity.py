"""memory.stat and memory.pressure as kernels print them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.cgroup.activity import Activity, activity, parse_stall
from numapin_api.errors import CgroupError

STAT = """\
anon 419430400
pgfault 12345
pgmajfault 67
workingset_refault_anon 8
workingset_refault_file 9
workingset_activate_file 10
numa_pages_migrated 11
numa_hint_faults 12
"""
PRESSURE = """\
some avg10=0.00 avg60=0.12 avg300=0.34 total=2500000
full avg10=0.00 avg60=0.00 avg300=0.00 total=1200
"""


@pytest.mark.parametrize(
    ("stat", "pressure", "found"),
    [
        (STAT, PRESSURE, Activity(12345, 67, 8, 9, 12, 2500000, 1200)),
        # A kernel before 6.12, of which the cgroup has no pressure.
        ("pgfault 1\npgmajfault 0\n", "", Activity(1, 0)),
        ("", "", Activity()),
        # A kernel that does not tell how long all waited.
        ("", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", Activity(stalled_some=7)),
    ],
)
def test_what_is_there_is_read(stat, pressure, found):
    assert activity(stat, pressure) == found


@pytest.mark.parametrize("line", ["pgfault", "pgfault x", "pgmajfault -1"])
def test_a_number_that_is_none_is_named(line):
    with pytest.raises(CgroupError, match="is not a key and a number"):
        activity(line, "")


@pytest.mark.parametrize("line", ["some", "some avg10=0.00", "some total=", "some total=1.5"])
def test_a_pressure_without_a_total_is_named(line):
    with pytest.raises(CgroupError, match="has no total="):
        parse_stall(line, "some")


@given(st.integers(0, 1 << 63), st.integers(0, 1 << 63))
def test_both_totals_are_told_apart(some, full):
    text = f"some avg10=1.00 total={some}\nfull avg10=1.00 total={full}\n"
    assert (parse_stall(text, "some"), parse_stall(text, "full")) == (some, full)
