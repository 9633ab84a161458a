"""The report's form, what must be shown, and what people see of it."""

import io
import json
import re
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError
from rich.console import Console

from numapin_agent.trace.histogram import of
from numapin_agent.trace.result import Blamed, Result, Row
from numapin_api.errors import LabError
from numapin_lab.demo.cluster import load
from numapin_lab.latency.command import culprits, on_one_cpu, slowest, window
from numapin_lab.latency.criteria import check
from numapin_lab.latency.picture import Line, draw
from numapin_lab.latency.report import LatencyReport
from numapin_lab.latency.requests import Batch
from numapin_lab.latency.table import show
from numapin_lab.paths import checkout


def requests(slow, maximum):
    figures = {"count": 9000, "slow": slow, "p50Ms": 0.4, "p99Ms": 1.2, "p999Ms": maximum}
    return figures | {"maxMs": maximum}


def timer(function, longest):
    return {"function": function, "count": 15, "maxMs": longest, "totalMs": 2 * longest}


def report(**changes):
    return LatencyReport.model_validate(
        {
            "kernel": "6.1.0-41-cloud-amd64",
            "services": 20_000,
            "slowMs": 5,
            "before": {
                "seconds": 30,
                "requests": requests(14, 21.4),
                "timers": [timer("estimation_timer", 19.3), timer("commit_timeout", 2.64)],
            },
            "after": {
                "seconds": 30,
                "requests": requests(3, 6.1),
                "timers": [timer("commit_timeout", 3.1), timer("estimation_timer", 0.26)],
            },
            "culprits": [
                {"name": "timer callback estimation_timer", "calls": 12, "longestMs": 21.2},
                {"name": "softirq NET_RX", "calls": 2, "longestMs": 5.2},
            ],
            "culpritsAfter": [{"name": "softirq NET_RX", "calls": 3, "longestMs": 6.2}],
            "causes": [{"name": "estimation_timer", "says": "IPVS walks", "remedy": "sysctl"}],
            "remedy": "sysctl -w net.ipv4.vs.run_estimation=0",
            "seconds": 312.4,
        }
        | changes
    )


GOOD = report()


def part(window, **changes):
    return GOOD.model_dump(by_alias=True)[window] | changes


def test_all_met():
    assert [c.met for c in check(GOOD)] == [True] * 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"before": part("before", timers=[timer("estimation_timer", 4.9)])},
            "estimation_timer took up to 4.90 ms before (at least 5)",
        ),
        ({"before": part("before", timers=[])}, "estimation_timer took up to 0.00 ms before"),
        ({"causes": []}, "named the cause of nothing"),
        ({"culprits": []}, "blamed estimation_timer for 0 slow system calls"),
        (
            {"after": part("after", timers=[timer("estimation_timer", 4.0)])},
            "estimation_timer took up to 4.00 ms after (at most 20 % of before)",
        ),
        (
            {
                "culpritsAfter": [
                    {"name": "timer callback estimation_timer", "calls": 3, "longestMs": 9}
                ]
            },
            "blamed estimation_timer for 3 after (at most 20 % of before)",
        ),
    ],
)
def test_each_that_is_not_met_is_said(change, said):
    failed = [c.text for c in check(report(**change)) if not c.met]
    assert any(said in text for text in failed), failed


def test_the_report_is_exactly_this():
    assert LatencyReport.model_validate_json(GOOD.text()) == GOOD
    with pytest.raises(ValidationError, match="colour"):
        report(colour="red")
    assert json.loads(GOOD.text())["before"]["timers"][0]["maxMs"] == 19.3


def test_the_table_fits_and_names_the_culprit():
    out = io.StringIO()
    Console(file=out, width=100).print(show(GOOD, check(GOOD)))
    said = out.getvalue()
    assert max(map(len, said.splitlines())) <= 100
    assert re.search(r"estimation_timer\s.*19\.30\s.*0\.26", said)
    assert re.search(r"timer callback estimation_timer\s.*12\s.*21\.20\s.*0", said)
    assert re.search(r"softirq NET_RX\s.*2\s.*5\.20\s.*3", said)
    assert said.count("✓") == 5


def test_a_function_that_is_not_called_any_more_is_said():
    gone = report(after=part("after", timers=[]))
    out = io.StringIO()
    Console(file=out, width=100).print(show(gone, []))
    assert re.search(r"estimation_timer\s.*19\.30\s.*not called", out.getvalue())


BATCHES = [Batch(100.0, (200, 300)), Batch(100.5, (6000,))]


def test_windows_and_culprits_come_from_what_numapin_said():
    timers = Result(
        probe="timers",
        scope="node",
        seconds=30,
        rows=[
            Row(labels={"function": "a [ip_vs]", "timer": "timer"}, histogram=of([5, 7])),
            Row(labels={"function": "b", "timer": "timer"}, histogram=of([9_000_000])),
        ],
    )
    assert [(t.function, t.max_ms) for t in slowest(timers)] == [("b", 9.0), ("a", 7e-6)]
    found = window(BATCHES, timers, 30, slow=5)
    assert (found.requests.count, found.requests.slow, found.requests.max_ms) == (3, 1, 6.0)
    with pytest.raises(LabError, match="no request"):
        window([], timers, 30, slow=5)
    blamed = [
        Blamed(culprit="x", named=True, calls=1, nanoseconds=7_000_000, longest=7_000_000),
        Blamed(culprit="y", named=True, calls=2, nanoseconds=15_000_000, longest=9_000_000),
    ]
    spike = Result(probe="spike", scope="pod", seconds=30, blamed=blamed)
    assert [(c.name, c.calls, c.longest_ms) for c in culprits(spike)] == [
        ("y", 2, 9.0),
        ("x", 1, 7.0),
    ]


def test_redis_and_its_client_run_where_the_timer_does():
    pod = next(m for m in load(checkout() / "lab/workloads/latency.yaml") if m["kind"] == "Pod")
    there = on_one_cpu(pod)
    before, after = pod["spec"]["containers"], there["spec"]["containers"]
    assert [one["name"] for one in after] == ["server", "client"]
    for free, bound in zip(before, after, strict=True):
        assert bound == {**free, "command": ["taskset", "--cpu-list", "3", *free["command"]]}
    assert before[0]["command"] == ["redis-server"]


def test_the_picture_is_the_same_each_time():
    lines = [Line("20,000 IPVS services", 100.0, BATCHES), Line("mended", 200.0, [])]
    first = draw(*lines)
    assert first == draw(*lines)
    assert ET.fromstring(first).tag.endswith("svg")
