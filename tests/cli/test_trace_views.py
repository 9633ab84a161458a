"""What people and programs see of a trace's answer."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from support.call_paths import PATHS

from numapin_agent.trace import histogram
from numapin_agent.trace.question import HAVE_PATHS, PROBES
from numapin_agent.trace.result import (
    Blamed,
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
from numapin_cli.views.letters import columns

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
    blamed=[Blamed(culprit="a timer", named=True, calls=1, nanoseconds=2, longest=2)],
    notes=["a note"],
    untold=["one thing is not known"],
    lost=3,
    skipped=50,
    cost=Cost(
        programs=[
            ProgramCost(name="a", target="x", runs=200, instructions=50, nanoseconds=20_000_000)
        ],
        load_seconds=0.5,
    ),
)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0 ns"), (999, "999 ns"), (12_345, "12.3 µs"), (4_200_000, "4.2 ms"), (1.5e9, "1.5 s")],
)
def test_durations(nanoseconds, text):
    assert trace.duration(nanoseconds) == text


def test_the_table_says_everything():
    text = trace.text(RESULT, 200)
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
        "50 of 250 runs of programs on the machine were left out",
        "cost: 100 events/s, at most 0.01 million instructions/s, 1.00 % of one CPU",
    ):
        assert part in text


LONG = {
    "timers": {"function": "delayed_work_timer_fn_of_a_module [nf_conntrack]", "timer": "hrtimer"},
    "softirqs": {"vector": "NET_RX", "cpu": "127", "threads": "waited"},
    "hardirqs": {"interrupt": "164 mlx5_comp31@pci:0000:a1:00.1", "cpu": "127"},
    "function": {"function": "__x64_sys_rt_sigtimedwait_time32"},
    "run-queue": {"process": "prometheus-conf"},
    "off-cpu": {"process": "プロメテウス"},
    "syscalls": {"syscall": "clock_nanosleep_time64"},
    "numa-moves": {"from": "NUMA node 10 (socket 1)", "to": "NUMA node 11 (socket 1)"},
    "page-faults": {},
    "netfilter": {"hook": "POST_ROUTING", "family": "bridge", "protocol": "ethertype 0x0800"},
    "net-rx": {"stage": "stack → read by the process"},
    "memory-wait": {
        "wait": "NUMA migration",
        "from": "NUMA node 10 (socket 1)",
        "to": "NUMA node 11 (socket 1)",
    },
    "spike": {"syscall": "clock_nanosleep_time64"},
}
"""Labels of each probe, as long as they come."""


def wide(probe: str) -> Result:
    """An answer with long names and great numbers."""
    blamed: dict[str, Any] = {}
    if probe == "spike":
        blamed = {"culprit": "waited for a CPU that was running other threads", "covered": 100}
    told = {"process": "prometheus-conf", "syscall": "sendmmsg", "on": "/a/very/long/path" * 9}
    frames = ["prometheus-conf", *(f"a_function_of_the_kernel_{n}_[k]" for n in range(20))]
    return Result(
        probe=probe,
        scope="pod a-namespace/a-pod-with-a-long-name-as-statefulsets-like-to-have-it-0123456789",
        seconds=600.0,
        ended="limit",
        why="its programs took 123.4 % of a CPU, more than 20 %: " + "as they ran so often " * 5,
        rows=[Row(labels=LONG[probe], histogram=histogram.of([123_456_789] * 3 + [98_765_432_100]))]
        if LONG[probe]
        else [],
        moments=[
            Moment(
                at_seconds=599.123, nanoseconds=123_456_789, labels=told | {"cpu": "127"}, **blamed
            )
        ],
        stacks=[Stack(frames=frames, weight=3), Stack(frames=[], weight=1)]
        if probe in HAVE_PATHS
        else [],
        figures=[Figure(name="time in NUMA migrations", value=123_456_789.123, unit="ms/s")],
        causes=[Cause(name="estimation_timer", says="It is slow. " * 20, remedy="Do. " * 40)],
        notes=["LOCAL_IN of ipv4 calls nft_do_chain_ipv4 [nf_tables] (rules of nftables), " * 3],
        untold=["one thing is not known, and it takes many words to say which one that is"] * 2,
        lost=3,
        cost=RESULT.cost,
    )


@pytest.mark.parametrize("probe", PROBES)
def test_every_answer_fits_a_terminal_of_80_columns(probe):
    lines = trace.text(wide(probe)).splitlines()
    assert [line for line in lines if columns(line) > 80] == []
    said = "\n".join(lines)
    for label in LONG[probe].values():
        assert label[:8] in said
    for kept in ("count", "p99 ≤", "max", "total") if LONG[probe] else ():
        assert kept in said
    wider = trace.text(wide(probe), 200)
    assert all(label in wider for label in LONG[probe].values())
    assert "average" in wider or not LONG[probe]


def test_columns_of_wide_letters_stand_below_each_other():
    lines = trace.table(("process", "count"), [("プロ", "1"), ("redis", "20")], 1)
    assert lines == ["process  count", "プロ         1", "redis       20"]


def test_a_spikes_moments_take_two_lines_each():
    lines = trace.text(wide("spike")).splitlines()
    at = lines.index("longest:")
    assert lines[at + 1].startswith(" 123 ms  prometheus-conf sendmmsg /a/very/long/path")
    assert lines[at + 2] == (
        "         after 599.123 s: 100 % waited for a CPU that was running other threads"
    )


@pytest.mark.parametrize(("value", "said"), [(3.0, "3"), (1234567.0, "1,234,567"), (12.5, "12.5")])
def test_figures(value, said):
    assert trace.amount(value) == said


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
        (["trace", "function", "f", "--local", "-o", "folded"], "call paths with --stacks only"),
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


def test_that_there_are_no_call_paths_is_said_beside_the_data(monkeypatch):
    monkeypatch.setattr("numapin_agent.trace.run.run", lambda *_, **__: RESULT)
    result = CliRunner().invoke(cli, ["trace", "off-cpu", "--local", "-o", "folded"])
    assert result.exit_code == 0
    assert result.stdout.strip() == ""
    assert "no call path was seen" in result.stderr


def test_who_waits_for_a_local_trace_is_told_what_for(monkeypatch):
    monkeypatch.setattr("numapin_agent.trace.run.run", lambda *_, **__: RESULT)
    result = CliRunner().invoke(cli, ["trace", "timers", "--local", "--duration", "5s"])
    assert "timers: takes 5 s, and compiling before that" in result.stderr


@pytest.mark.parametrize(
    ("text", "length"),
    [("500us", 500_000), ("1.5ms", 1_500_000), ("10s", 10**10), ("2m", 12 * 10**10)],
)
def test_times(text, length):
    assert command.nanoseconds(text) == length
