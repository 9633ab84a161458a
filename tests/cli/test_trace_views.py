"""What people and programs see of a trace's answer."""

import json
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from numapin_agent.trace import histogram
from numapin_agent.trace.question import HAVE_PATHS
from numapin_agent.trace.result import (
    Cause,
    Cost,
    Figure,
    Moment,
    ProgramCost,
    Result,
    Row,
    Stack,
)
from numapin_cli.commands import trace as command
from numapin_cli.main import cli
from numapin_cli.views import trace

SVG = "{http://www.w3.org/2000/svg}"
RESULT = Result(
    probe="timers",
    scope="pod shop/redis",
    seconds=2.0,
    ended="interrupted",
    why="stopped after 2.0 s",
    rows=[
        Row(labels={"function": "estimation_timer"}, histogram=histogram.of([19_300_000, 100])),
        Row(labels={"function": "delayed_work_timer_fn"}, histogram=histogram.of([900])),
    ],
    moments=[
        Moment(at_seconds=0.5, nanoseconds=19_300_000, labels={"function": "estimation_timer"})
    ],
    causes=[Cause(name="estimation_timer", says="IPVS.", remedy="sysctl.")],
    figures=[Figure(name="NUMA migrations", value=12.5, unit="/s")],
    notes=["1 of 1 slow calls: a timer"],
    untold=["one thing is not known"],
    lost=3,
    cost=Cost(
        programs=[
            ProgramCost(name="a", target="x", runs=200, instructions=50, nanoseconds=20_000_000)
        ],
        load_seconds=0.5,
    ),
)
PATHS = Result(
    probe="page-faults",
    scope="node",
    seconds=1.0,
    weight="faults",
    stacks=[
        Stack(frames=["redis", "main", "a<b>&\"c'"], weight=30),
        Stack(frames=["redis", "main", "exc_page_fault_[k]"], weight=10),
        Stack(frames=["x;y"], weight=1),
    ],
)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0 ns"), (999, "999 ns"), (12_345, "12.3 µs"), (4_200_000, "4.2 ms"), (1.5e9, "1.5 s")],
)
def test_durations(nanoseconds, text):
    assert trace.duration(nanoseconds) == text


def test_the_table_says_everything():
    text = trace.text(RESULT)
    for part in (
        "timers, pod shop/redis, 2.0 s",
        "ended early: stopped after 2.0 s",
        "estimation_timer",
        "19.3 ms",
        "known cause: estimation_timer",
        "remedy: sysctl.",
        "NUMA migrations  12.5 /s",
        "one thing is not known",
        "3 events are missing",
        "cost: 100 events/s, at most 0.01 million instructions/s, 1.00 % of one CPU",
    ):
        assert part in text


def test_nothing_seen_is_said():
    assert "nothing was seen" in trace.text(Result(probe="timers", scope="node", seconds=1.0))


def test_time_that_could_not_be_measured_is_not_made_up():
    program = ProgramCost(name="a", target="x", runs=1, instructions=5)
    result = Result(probe="timers", scope="node", seconds=1.0, cost=Cost(programs=[program]))
    assert "time not measured" in trace.cost(result)


def test_folded_paths_are_what_flame_graph_tools_read():
    assert trace.folded(PATHS).splitlines() == [
        "redis;main;a<b>&\"c' 30",
        "redis;main;exc_page_fault_[k] 10",
        "x:y 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trace", "timers"], "--local"),
        (["trace", "nothing", "--local"], "is not one of"),
        (["trace", "function", "--local"], "needs the name"),
        (["trace", "timers", "--local", "--stacks"], "takes no --stacks"),
        (["trace", "timers", "--local", "--duration", "ten"], "like 10s"),
        (["trace", "timers", "--local", "-o", "folded"], "has no call paths"),
        (["trace", "timers", "--pod", "a", "-o", "folded"], "has no call paths"),
        (["trace", "timers", "--pod", "a", "--node", "b"], "they exclude each other"),
        (["trace", "timers", "--pod", "a", "--duration", "500ms"], "must be whole seconds"),
        (["trace", "timers", "--pod", "a", "--cgroup", "/"], "--cgroup / goes with --local only"),
        (["trace", "timers", "--local", "--context", "c"], "--local asks no cluster"),
        (["--context", "c", "trace", "timers", "--local"], "--local asks no cluster"),
    ],
)
def test_wrong_usage(arguments, said):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("style", "reads"),
    [
        ("json", lambda out: json.loads(out)["rows"][0]["histogram"]["max"] == 19_300_000),
        ("svg", lambda out: ET.fromstring(out).tag == f"{SVG}svg"),
        ("table", lambda out: "estimation_timer" in out),
    ],
)
def test_the_command_prints_data_alone(monkeypatch, style, reads):
    monkeypatch.setattr("numapin_agent.trace.run.run", lambda *_, **__: RESULT)
    result = CliRunner().invoke(cli, ["trace", "timers", "--local", "-o", style])
    assert result.exit_code == 0, result.output
    assert reads(result.stdout)


@pytest.mark.parametrize("probe", sorted(HAVE_PATHS - {"function"}))
def test_call_paths_can_be_had_folded_where_there_are_some(monkeypatch, probe):
    monkeypatch.setattr("numapin_agent.trace.run.run", lambda *_, **__: PATHS)
    result = CliRunner().invoke(cli, ["trace", probe, "--local", "-o", "folded"])
    assert result.exit_code == 0, result.output
    assert "x:y 1" in result.stdout


@pytest.mark.parametrize(
    ("text", "length"),
    [("500us", 500_000), ("1.5ms", 1_500_000), ("10s", 10**10), ("2m", 12 * 10**10)],
)
def test_times(text, length):
    assert command.nanoseconds(text) == length
