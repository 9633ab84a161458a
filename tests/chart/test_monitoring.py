"""Rules and dashboard read only what operator and agent really offer, in PromQL that parses."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from support.chart import CHART, Helm, one, render

from numapin_agent.cgroup.activity import Activity
from numapin_agent.counters.pairs import PairCounters
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.families import activity_families, pair_families
from numapin_agent.glance import Glance, glance_families
from numapin_agent.latency.series import SLOW_BITS, Counts, Names
from numapin_agent.latency.series import families as latency_families
from numapin_agent.metrics import Meters, node_families, pod_families
from numapin_agent.scraped import MemoryFigures, NodeFigures, PodFigures
from numapin_agent.trace import histogram, records
from numapin_agent.trace.records import Key
from numapin_api.node import CORROBORATING, Signal
from numapin_chart import dashboard, panels
from numapin_operator.metrics import Metrics, StoreCollector
from numapin_operator.store import Store

RULES = [
    rule
    for group in yaml.safe_load((CHART / "files/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [(panel.title, expression) for panel in panels.PANELS for expression, _ in panel.lines]


def families() -> Iterator[Metric]:
    """All metrics of both programs, with at least one sample of each per-pod one."""
    agents, operators = CollectorRegistry(), CollectorRegistry()
    meters = Meters(agents)
    meters.error("InternalError")
    metrics = Metrics(operators)
    for labelled in (metrics.writes, metrics.errors, metrics.missed):
        labelled.labels("x")
    operators.register(StoreCollector(Store()))
    yield from agents.collect()
    yield from operators.collect()
    pod = PodFigures(
        "default",
        "db",
        CgroupCounters(),
        {0: 1},
        0,
        pinned=True,
        moved_pages=0,
        moving=(0, 1),
        drifts=0,
        pairs={(0, 1): PairCounters(1, 1, 1, 1)},
        activity=Activity(0, 0, 0, 0, 0, 0, 0),
        huge_pages={0: 1},
        glance=Glance(threads=2),
    )
    slow = histogram.of([1 << SLOW_BITS])
    counts = {"timers": Counts({Key(0, records.TIMER, 0): slow})}
    yield from latency_families(counts, Names(), Names())
    yield from pod_families([pod])
    yield from pair_families([pod])
    yield from glance_families([pod])
    yield from activity_families([pod])
    yield from node_families(
        NodeFigures(
            pages_migrated=1,
            pages_counted=1,
            signals=(Signal(name="numaMigrations", level="fentry"),),
            lost=0,
            tracer_alive=True,
            loop_silent_seconds=0.0,
            writes_pending=0,
            programs=(("hintFaults", "hint_fentry", True),),
            counting_since=0.0,
            memory=(MemoryFigures(0, 0, 1, 1),),
            lost_pairs=0,
            lost_alarms=0,
        )
    )


def offered() -> dict[str, set[str]]:
    """Label names of each sample name."""
    found: dict[str, set[str]] = {"numapin_operator_pins": {"verdict"}}
    for family in families():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


OFFERED = offered()
# What a scrape adds, by Prometheus and by the chart's relabelings.
BY_SCRAPE = {"instance", "job", "namespace", "pod", "node"}


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """All vector selectors of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    else:
        for name in ("expr", "lhs", "rhs", "param"):
            if (below := getattr(node, name, None)) is not None:
                yield from selectors(below)
        for below in getattr(node, "args", None) or ():
            yield from selectors(below)


def check(expression: str) -> None:
    found = list(selectors(promql_parser.parse(expression)))
    assert found
    for selector in found:
        assert selector.name in OFFERED, selector.name
        asked = {m.name for m in selector.matchers.matchers}
        assert asked <= OFFERED[selector.name] | BY_SCRAPE, (selector.name, asked)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_reads_metrics_that_are_there(rule):
    check(rule["expr"])


def test_alert_of_missing_signals_leaves_out_those_that_no_verdict_needs():
    (rule,) = [rule for rule in RULES if rule["alert"] == "NumapinAgentSignalMissing"]
    (selector,) = selectors(promql_parser.parse(rule["expr"]).lhs)
    (left_out,) = [m.value for m in selector.matchers.matchers if m.name == "signal"]
    assert left_out.split("|") == sorted(CORROBORATING)


@pytest.mark.parametrize(("title", "expression"), PANELS)
def test_panel_reads_metrics_that_are_there(title, expression):
    check(expression.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize(
    "wrong",
    [
        "numapin_pod_numa_migrated_pages > 0",
        'numapin_agent_signal_level{signals="x"}',
        "rate(up[5m])",
    ],
)
def test_other_names_would_be_found(wrong):
    with pytest.raises(AssertionError):
        check(wrong)


def test_expression_that_does_not_parse_would_be_found():
    with pytest.raises(ValueError, match="unclosed"):
        check("sum by (pod (numapin_pod_pinned)")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_says_what_it_means_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"info", "warning"}
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook"}
    assert all(len(text) > 20 for text in notes.values())
    # Prometheus has no error for an unknown label: it prints nothing there.
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(notes.values())))
    grouped = set(re.findall(r"by \(([\w, ]+)\)", rule["expr"]))
    left = {n.strip() for group in grouped for n in group.split(",")}
    aggregated = re.match(r"(sum|max|count|absent)\b", rule["expr"])
    assert named <= (left if aggregated else BY_SCRAPE | labels_of(rule["expr"]))


def labels_of(expression: str) -> set[str]:
    parsed: Iterable[promql_parser.VectorSelector] = selectors(promql_parser.parse(expression))
    return set().union(*(OFFERED[s.name] for s in parsed))


def test_verdicts_and_reasons_of_alerts_exist():
    from typing import get_args  # noqa: PLC0415

    from numapin_api.pin import Verdict  # noqa: PLC0415

    asked = {
        verdict
        for rule in RULES
        for choice in re.findall(r'verdict=~?"([^"]+)"', rule["expr"])
        for verdict in choice.split("|")
    }
    # "None": what the operator counts a pin without a verdict as.
    assert asked <= {*get_args(Verdict), "None"}


def test_dashboard_is_one_that_grafana_takes():
    made = json.loads((CHART / "files/dashboard.json").read_text())
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in made["panels"]}
    assert len(places) == len(ids)
    variables = [v["name"] for v in made["templating"]["list"]]
    assert variables == ["datasource", "node", "namespace", "pod"]
    graphs = [p for p in made["panels"] if p["type"] != "row"]
    assert all(p["datasource"]["uid"] == "${datasource}" for p in graphs)
    assert [p["title"] for p in made["panels"] if p["type"] == "row"][:3] == [
        "Cluster",
        "Node",
        "Pod",
    ]
    named = set(re.findall(r"\$(\w+)", json.dumps([p["targets"] for p in graphs])))
    assert named - {"__rate_interval"} <= set(variables)


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((CHART / "files/dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.integration
def test_off_by_default_and_whole_when_on(helm: Helm):
    extra = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "Service", "NetworkPolicy"}
    assert not extra & {o["kind"] for o in render(helm)}
    objects = render(helm, file=CHART / "ci/monitoring-values.yaml")
    assert extra - {"PodMonitor"} <= {o["kind"] for o in objects}
    assert (
        one(objects, "PrometheusRule")["spec"]["groups"]
        == yaml.safe_load((CHART / "files/rules.yaml").read_text())["groups"]
    )
    data = one(objects, "ConfigMap", "numapin-dashboard")["data"]
    assert json.loads(data["numapin.json"]) == dashboard.dashboard()


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["Pod", "Service"])
def test_monitor_finds_the_pods_and_leaves_their_labels(helm: Helm, kind):
    value = f"monitoring.{kind.lower()}Monitor"
    objects = render(helm, {value: {"enabled": True, "labels": {"release": "x"}}})
    for part, workload in (("operator", "Deployment"), ("agent", "DaemonSet")):
        monitor = one(objects, f"{kind}Monitor", f"numapin-{part}")
        assert monitor["metadata"]["labels"]["release"] == "x"
        target = (
            one(objects, workload)["spec"]["template"]
            if kind == "Pod"
            else one(objects, "Service", f"numapin-{part}")
        )
        selector = monitor["spec"]["selector"]["matchLabels"]
        assert selector.items() <= target["metadata"]["labels"].items()
        endpoints = "podMetricsEndpoints" if kind == "Pod" else "endpoints"
        (endpoint,) = monitor["spec"][endpoints]
        assert endpoint["port"] == "metrics"
        # Else the pods' own labels would be renamed to exported_pod and exported_namespace.
        assert endpoint["honorLabels"] is True
        assert "interval" not in endpoint
