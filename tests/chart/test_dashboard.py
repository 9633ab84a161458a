"""Each query of the dashboard, asked of a real Prometheus that scrapes our own programs' pages.

The pages are made by agent's and operator's own code, of figures that grow from scrape to scrape
as they would while two pods run, one of them pinned. In the lab the same is asked of real agents.
"""

import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import start_http_server
from support.wait import until

from numapin_agent.counters.pairs import PairCounters
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.glance import Glance
from numapin_agent.health import HealthServer
from numapin_agent.metrics import Figures, Meters
from numapin_agent.scraped import MemoryFigures, NodeFigures, PodFigures
from numapin_api.node import Signal
from numapin_chart import panels
from numapin_lab.demo.board import filled
from numapin_lab.scraping import Server, job, running
from numapin_operator.metrics import Metrics, StoreCollector
from numapin_operator.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PANELS = [(panel.title, expression) for panel in panels.PANELS for expression, _ in panel.lines]
PIN = {
    "metadata": {
        "namespace": "shop",
        "name": "redis-0",
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
    },
    "spec": {"podUID": "p", "nodeName": "n", "policy": "(default)", "socket": 1, "cpus": "2-3"},
    "status": {"verdict": "Verified"},
}


class Growing:
    """Two pods of one node; everything that counts has grown at each look."""

    def __init__(self) -> None:
        self.looks = 0
        self.meters: Meters | None = None

    def pods(self) -> list[PodFigures]:
        self.looks += 1
        n = self.looks
        counted = CgroupCounters(
            migrations=n,
            migrated_pages=100 * n,
            cross_socket_migrated_pages=50 * n,
            migration_nanoseconds=10**6 * n,
            hint_fault_pages_local=70 * n,
            hint_fault_pages_remote=30 * n,
            cross_socket_task_migrations=n,
        )
        assert self.meters is not None
        self.meters.pinned_after(0.004)
        self.meters.error("ApiUnavailable")
        pairs = {(0, 1): PairCounters(n, 100 * n, 10**6 * n, 30 * n)}
        free = PodFigures(
            "shop", "web-0", counted, {0: 4096, 1: 4096}, glance=Glance(4), pairs=pairs
        )
        # Of its one thread the kernel samples remote pages only.
        sampled = CgroupCounters(hint_fault_pages_remote=1000 * n)
        single = PodFigures("shop", "cron-0", sampled, {}, moving=(n, 10**6), glance=Glance(1))
        pinned = PodFigures(
            "shop",
            "redis-0",
            counted,
            {0: 0, 1: 8192},
            socket=1,
            pinned=True,
            moved_pages=n,
            moving=(n, 10**6),
            drifts=n,
            glance=Glance(2),
            pairs=pairs,
        )
        return [free, pinned, single]

    def node(self) -> NodeFigures:
        n = self.looks
        return NodeFigures(
            pages_migrated=200 * n,
            pages_counted=200 * n,
            signals=(Signal(name="numaMigrations", level="rawTracepoint"),),
            lost=n,
            tracer_alive=True,
            loop_silent_seconds=0.1,
            writes_pending=0,
            programs=(("numaMigrations", "migrate_end", True),),
            counting_since=1e9,
            memory=(MemoryFigures(0, 0, 1 << 30, 1 << 29), MemoryFigures(1, 1, 1 << 30, 1 << 29)),
            lost_pairs=n,
            lost_alarms=n,
        )


class Busy(StoreCollector):
    """The operator's collector; its program has done something more at each look."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__(store)
        self._metrics = metrics

    def collect(self):
        self._metrics.pod_to_pin_seconds.observe(0.02)
        self._metrics.writes.labels("pin").inc()
        self._metrics.errors.labels("reconcile").inc()
        self._metrics.missed.labels("pods").inc()
        yield from super().collect()


@pytest.fixture(scope="module")
def fed() -> Iterator[Server]:
    """A Prometheus that has scraped both programs often enough for rates."""
    agents, operators = CollectorRegistry(auto_describe=False), CollectorRegistry()
    growing = Growing()
    growing.meters = Meters(agents)
    agents.register(Figures(pods=growing.pods, node=growing.node))
    agent = HealthServer("127.0.0.1", 0, registry=agents, healthy=lambda: None, ready=lambda: None)
    agent.start()
    store = Store()
    store.put("numapins", PIN)
    operators.register(Busy(store, Metrics(operators)))
    operator, thread = start_http_server(0, "127.0.0.1", operators)
    scrapes = [
        job(name, f"127.0.0.1:{port}", seconds=1)
        for name, port in (("agent", agent.port), ("operator", operator.server_port))
    ]
    try:
        with running(scrapes) as server:
            until(
                lambda: (
                    server.query(filled("rate(numapin_operator_errors_total[1m])"))
                    and server.query("rate(numapin_agent_tracer_lost_total[1m]) > 0")
                    # Its first error is made by the first scrape, after its errors were read.
                    and server.query("rate(numapin_agent_errors_total[1m]) > 0")
                ),
                what="scrapes enough of both programs",
                seconds=60,
            )
            yield server
    finally:
        agent.stop()
        operator.shutdown()
        operator.server_close()
        thread.join()


@pytest.mark.parametrize(("title", "expression"), PANELS)
def test_every_query_returns_numbers(fed: Server, title, expression):
    found = fed.query(filled(expression))
    values = [float(series["value"][1]) for series in found]
    assert values, expression
    assert not all(map(math.isnan, values)), expression


def test_a_query_for_what_nobody_offers_returns_nothing(fed: Server):
    assert fed.query(filled("sum(numapin_pod_no_such_metric)")) == []


@pytest.mark.parametrize("variable", panels.VARIABLES, ids=lambda v: v[0])
def test_every_variable_offers_something(fed: Server, variable):
    _, _, series, label = variable
    assert fed.label_values(filled(series), label)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Memory of pods by socket", {"0": 4096.0, "1": 4096.0 + 8192.0}),
        ("Memory left by socket", {"0": 2.0**29, "1": 2.0**29}),
        ("Pods by socket they are pinned to", {"1": 1.0}),
    ],
)
def test_what_is_shown_by_socket_is_summed_right(fed: Server, title, expected):
    (panel,) = (p for p in panels.PANELS if p.title == title)
    ((expression, _),) = panel.lines
    found = fed.query(filled(expression))
    assert {s["metric"]["socket"]: float(s["value"][1]) for s in found} == expected


@pytest.mark.parametrize(
    ("title", "pods"),
    [
        ("Local NUMA-hint faults, all pods", [None]),
        ("Local NUMA-hint faults", ["redis-0", "web-0"]),
    ],
)
def test_pods_with_one_thread_have_no_share_of_local_faults(fed: Server, title, pods):
    (panel,) = (p for p in panels.PANELS if p.title == title)
    ((expression, _),) = panel.lines
    found = fed.query(filled(expression))
    assert sorted(s["metric"].get("pod") for s in found) == pods
    assert [float(s["value"][1]) for s in found] == pytest.approx([0.7] * len(pods))


def test_every_panel_of_the_pods_chosen_shows_no_other(fed: Server):
    """Of the row that is called so, and of all pods that the page has."""
    for panel in panels.POD:
        for expression, _ in panel.lines:
            chosen = expression.replace("$pod", "redis-0").replace("$namespace", "shop")
            found = {s["metric"]["pod"] for s in fed.query(filled(chosen))}
            assert found <= {"redis-0"}, panel.title


def test_a_pod_is_drawn_either_before_or_after_its_pin(fed: Server):
    (panel,) = (p for p in panels.PANELS if p.title.startswith("Pages migrated before and"))
    before, after = (
        {s["metric"]["pod"] for s in fed.query(filled(expression))} for expression, _ in panel.lines
    )
    assert (before, after) == ({"web-0", "cron-0"}, {"redis-0"})
