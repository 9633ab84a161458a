"""Each alert fires when it should and not before, as Prometheus' own promtool works it out."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.chart import CHART

from numapin_api.node import CORROBORATING

pytestmark = pytest.mark.integration

RULES = CHART / "files" / "rules.yaml"
ALERTS = {
    rule["alert"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}


@dataclass(frozen=True)
class Case:
    """An alert's behaviour on made-up series.

    Attributes:
        alert: its name.
        series: in promtool's notation, a value a minute.
        fires: minute at which it fires.
        quiet: minutes at which it must not.
        labels: of the alert, besides the severity.
        summary: as people read it.
        severity: of the alert.
    """

    alert: str
    series: Mapping[str, str]
    fires: int
    quiet: tuple[int, ...]
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: str = "warning"

    def __str__(self) -> str:
        return self.alert


AGENT = 'instance="10.0.0.1:9465"'
AT = {"instance": "10.0.0.1:9465"}
POD = 'namespace="shop",pod="redis-0"'
OF_POD = {"namespace": "shop", "pod": "redis-0"}
CASES = [
    Case(
        "NumapinSlowTimer",
        {
            # Once in two seconds from the twelfth minute on; and one that is slow now and then.
            f'numapin_node_slow_timer_runs_total{{{AGENT},function="estimation_timer"}}': (
                "0x11 30+30x40"
            ),
            f'numapin_node_slow_timer_runs_total{{{AGENT},function="tick_nohz_handler"}}': "0+1x60",
        },
        fires=30,
        quiet=(11, 15),
        labels={**AT, "function": "estimation_timer"},
        summary="Kernel timer estimation_timer holds up CPUs of 10.0.0.1:9465",
    ),
    Case(
        "NumapinPinsIneffective",
        {'numapin_operator_pins{verdict="Ineffective"}': "0x9 2x20"},
        fires=26,
        quiet=(9, 24),
        summary="2 pins have no effect",
    ),
    Case(
        "NumapinPinsDrifted",
        {f"numapin_pod_cpuset_drifts_total{{{POD}}}": "0x29 1 1x9 2 2x9 3x9 3x60"},
        fires=52,
        # One, two: accidents. And long after the last it is over.
        quiet=(31, 45, 118),
        labels=OF_POD,
        summary="Somebody else keeps changing the cpuset of shop/redis-0",
    ),
    Case(
        "NumapinPinsRefused",
        {'numapin_operator_pins{verdict="Conflict"}': "0x9 1x40"},
        fires=41,
        quiet=(39,),
        labels={"verdict": "Conflict"},
        summary="1 pods ask for a pin and can't have one (Conflict)",
        severity="info",
    ),
    Case(
        "NumapinPinsNotVerified",
        {
            'numapin_operator_pins{verdict="NoSignal"}': "6x70",
            'numapin_operator_pins{verdict="Verified"}': "5x70",
        },
        fires=61,
        quiet=(59,),
        summary="More than half of all pins have had no verdict for an hour",
    ),
    Case(
        "NumapinPinnedPodMigrates",
        {
            f"numapin_pod_cross_socket_numa_migrated_pages_total{{{POD}}}": "0+12000x60",
            f'numapin_pod_pinned{{{POD},socket="1"}}': "0x20 1x40",
            'numapin_pod_cross_socket_numa_migrated_pages_total{namespace="shop",pod="free"}': (
                "0+99999x60"
            ),
        },
        fires=32,
        quiet=(20, 30),
        labels=OF_POD,
        summary="Pinned pod shop/redis-0 migrates pages",
    ),
    Case(
        "NumapinSocketNearlyFull",
        {
            f'numapin_node_memory_bytes{{{AGENT},numa_node="0",socket="0"}}': "100x60",
            f'numapin_node_memory_bytes{{{AGENT},numa_node="1",socket="1"}}': "100x60",
            f'numapin_node_memory_bytes{{{AGENT},numa_node="2",socket="1"}}': "100x60",
            # Socket 0 is full, but nobody is bound to it; of socket 1 the sum counts.
            f'numapin_node_memory_available_bytes{{{AGENT},numa_node="0",socket="0"}}': "1x60",
            f'numapin_node_memory_available_bytes{{{AGENT},numa_node="1",socket="1"}}': "1x60",
            f'numapin_node_memory_available_bytes{{{AGENT},numa_node="2",socket="1"}}': (
                "50x19 14x40"
            ),
            f'numapin_pod_pinned{{{AGENT},{POD},socket="1"}}': "1x60",
        },
        fires=31,
        quiet=(19, 29),
        labels={**AT, "socket": "1"},
        summary="Socket 1 at 10.0.0.1:9465 has 7.5% of its memory left",
    ),
    Case(
        "NumapinAgentMissing",
        {
            f"numapin_agent_loop_silent_seconds{{{AGENT}}}": "1x40",
            "numapin_operator_nodes": "1x10 2x30",
        },
        fires=27,
        quiet=(10, 25),
        summary="Only 1 agents answer, fewer than there are nodes with numapin",
    ),
    Case(
        "NumapinAgentStuck",
        # As the liveness probe leaves it: started anew after 130 s of silence.
        {f"numapin_agent_loop_silent_seconds{{{AGENT}}}": "5x9 65 125 5x40"},
        fires=10,
        quiet=(9, 28),
        labels=AT,
        summary="The agent at 10.0.0.1:9465 showed no sign of life for a minute",
    ),
    Case(
        "NumapinAgentRestarting",
        {
            # Seven minutes each: 130 s of silence, and the longest pause before the next start.
            f"numapin_agent_start_time_seconds{{{AGENT}}}": (
                "0x9 600 600 stale _x4 1020 1020 stale _x4 1440 1440 stale _x4 1860 1860 1860x80"
            ),
            # Restarted now and then.
            'numapin_agent_start_time_seconds{instance="10.0.0.2:9465"}': (
                "0x9 600x9 1200x9 1800x80"
            ),
        },
        fires=32,
        quiet=(9, 25, 105),
        labels=AT,
        summary="The agent at 10.0.0.1:9465 was started anew 4 times in an hour",
    ),
    Case(
        "NumapinAgentNotCounting",
        {
            f'numapin_agent_program_alive{{{AGENT},signal="hintFaults",program="hint_fentry"}}': (
                "1x9 0x20"
            ),
            f'numapin_agent_program_alive{{{AGENT},signal="pinMoves",program="migrate_end"}}': (
                "1x9 0x2 1x20"
            ),
        },
        fires=16,
        quiet=(9, 14),
        labels={**AT, "signal": "hintFaults", "program": "hint_fentry"},
        summary="Program hint_fentry of hintFaults at 10.0.0.1:9465 does not count",
    ),
    Case(
        "NumapinAgentSignalMissing",
        {
            f'numapin_agent_signal_level{{{AGENT},signal="{signal}",level="none"}}': "1x30"
            for signal in ("hintFaults", *CORROBORATING)
        },
        fires=16,
        quiet=(14,),
        labels={**AT, "signal": "hintFaults", "level": "none"},
        summary="The agent at 10.0.0.1:9465 can't have the signal hintFaults",
        severity="info",
    ),
    Case(
        "NumapinAgentEventsLost",
        {f"numapin_agent_tracer_lost_total{{{AGENT}}}": "7x9 14x40"},
        fires=14,
        quiet=(9, 30),
        labels=AT,
        summary="The agent at 10.0.0.1:9465 lost 7.5 events",
    ),
    Case(
        "NumapinAgentAlarmsLost",
        {f"numapin_agent_memory_alarms_lost_total{{{AGENT}}}": "7x9 14x40"},
        fires=14,
        quiet=(9, 30),
        labels=AT,
        summary="The memory guard at 10.0.0.1:9465 lost 7.5 alarms",
    ),
    Case(
        "NumapinCountersDisagree",
        {
            f"numapin_node_counted_migrated_pages_total{{{AGENT}}}": "0+3000x60",
            f"numapin_node_numa_pages_migrated_total{{{AGENT}}}": "0+6000x60",
        },
        fires=32,
        quiet=(14,),
        labels=AT,
        summary="Counters of 10.0.0.1:9465 are not what the kernel itself counts",
    ),
    Case(
        "NumapinAgentWritesStuck",
        {f"numapin_agent_api_writes_pending{{{AGENT}}}": "0x9 3x30"},
        fires=26,
        quiet=(9, 24),
        labels=AT,
        summary="The agent at 10.0.0.1:9465 can't write to the API server",
    ),
    Case(
        "NumapinAgentBug",
        {f'numapin_agent_errors_total{{{AGENT},kind="InternalError"}}': "0x9 1x40"},
        fires=12,
        quiet=(9, 30),
        labels={**AT, "kind": "InternalError"},
        summary="The agent at 10.0.0.1:9465 met an error that it does not know",
    ),
    Case(
        "NumapinOperatorDown",
        {"numapin_operator_pods": "1x9 stale"},
        fires=21,
        quiet=(9, 19),
        summary="No numapin operator answers",
    ),
    Case(
        "NumapinOperatorStale",
        {'numapin_operator_missed_events_total{kind="Pod"}': "0+1x60"},
        fires=18,
        quiet=(14,),
        labels={"kind": "Pod"},
        summary="The operator's watch of Pod does not tell it everything",
    ),
    Case(
        "NumapinOperatorErrors",
        {'numapin_operator_errors_total{where="write"}': "0+1x60"},
        fires=25,
        quiet=(14,),
        labels={"where": "write"},
        summary="The operator fails again and again (write)",
    ),
]


def told(text: str) -> str:
    """A summary as YAML's folding leaves it."""
    return " ".join(text.split())


def rules_with_summaries_only(where: Path) -> None:
    """The chart's rules without the long texts, which are none of promtool's business here."""
    read: dict[str, Any] = yaml.safe_load(RULES.read_text())
    for group in read["groups"]:
        for rule in group["rules"]:
            rule["annotations"] = {"summary": told(rule["annotations"]["summary"])}
    where.write_text(yaml.safe_dump(read))


def unit_test(case: Case) -> dict[str, Any]:
    """A case in promtool's form."""
    alert = {
        "exp_labels": {**case.labels, "severity": case.severity},
        "exp_annotations": {"summary": case.summary},
    }
    looks = [(minute, []) for minute in case.quiet] + [(case.fires, [alert])]
    return {
        "name": case.alert,
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": expected}
            for minute, expected in sorted(looks, key=lambda look: look[0])
        ],
    }


def run(promtool: Path, scratch: Path, case: Case) -> subprocess.CompletedProcess[str]:
    rules_with_summaries_only(scratch / "rules.yaml")
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [unit_test(case)]}
    (scratch / "test.yaml").write_text(yaml.safe_dump(test))
    return subprocess.run(
        [promtool, "test", "rules", scratch / "test.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alert_fires_when_it_should_and_not_before(promtool, tmp_path, case):
    done = run(promtool, tmp_path, case)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_fires_otherwise_would_be_found(promtool, tmp_path):
    wrong = Case(
        "NumapinPinsIneffective",
        {'numapin_operator_pins{verdict="Ineffective"}': "1x30"},
        fires=14,
        quiet=(),
        summary="1 pins have no effect",
    )
    done = run(promtool, tmp_path, wrong)
    assert done.returncode == 1
    assert "NumapinPinsIneffective" in done.stdout + done.stderr


def test_every_alert_has_a_case():
    assert {case.alert for case in CASES} == ALERTS


def test_promtool_takes_the_rules(promtool):
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
