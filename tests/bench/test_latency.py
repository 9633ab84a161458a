"""What of the latency histograms' cost is shown: each probe beside softirqs, or why not."""

import math

from bench.latency import rows

ONE = {"seconds": 10.0, "instructions": 90, "scrape_seconds": 0.0005}
GOT = {
    "kernel": "6.12.1",
    "probes": {
        "softirqs": {**ONE, "runs": 1000, "nanoseconds": 200_000},
        "netfilter": {**ONE, "runs": 500, "nanoseconds": 150_000},
        "timers": {**ONE, "runs": 0, "nanoseconds": 0},
        "hardirqs": {"problem": "no tracepoint"},
    },
}


def test_each_probe_is_told_with_units_beside_softirqs() -> None:
    found = {row.what: (row.value, row.unit) for row in rows("lab", GOT)}
    named = "lab, Linux 6.12.1, netfilter"
    assert found[f"{named}: runs of its programs"] == (50.0, "/s")
    assert found[f"{named}: a run"] == (300.0, "ns")
    assert found[f"{named}: a run, beside one of softirqs"] == (1.5, "x")
    assert found[f"{named}: a run at most"] == (90, "instructions")
    assert found[f"{named}: in all"] == (0.0015, "% of one CPU")
    assert found[f"{named}: a scrape"] == (0.5, "ms of CPU")


def test_what_was_not_measured_is_no_zero() -> None:
    found = {row.what: row.value for row in rows("lab", GOT)}
    assert math.isnan(found["lab, Linux 6.12.1, timers: a run"])
    assert math.isnan(found["lab, Linux 6.12.1, timers: in all"])
    assert math.isnan(found["lab, Linux 6.12.1, hardirqs: no tracepoint"])
