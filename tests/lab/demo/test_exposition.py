"""What is taken from an agent's page, and from the page that this checkout's agent writes."""

from prometheus_client import CollectorRegistry, generate_latest

from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.metrics import Figures
from numapin_agent.scraped import NodeFigures, PodFigures
from numapin_lab.demo.exposition import read
from numapin_lab.demo.series import KERNEL, WHOLE_NODE, PodCounters

FIGURES = CgroupCounters(
    migrations=9,
    migrated_pages=1000,
    cross_socket_migrated_pages=600,
    migration_nanoseconds=123_456_789,
    hint_fault_pages_local=70,
    hint_fault_pages_remote=30,
    cross_socket_task_migrations=5,
    pin_moved_pages=0,
)


def test_reads_what_this_agent_writes():
    registry = CollectorRegistry()
    pods = [
        PodFigures(namespace="demo", name="hopper", totals=FIGURES, memory={0: 4096}),
        PodFigures(namespace="demo", name="not-counted", totals=None, memory={}),
    ]
    node = NodeFigures(
        pages_migrated=1233,
        pages_counted=1234,
        signals=(),
        lost=0,
        tracer_alive=True,
        loop_silent_seconds=0.0,
        writes_pending=0,
    )
    registry.register(Figures(pods=lambda: pods, node=lambda: node))
    assert read(generate_latest(registry).decode()) == {
        ("demo", "hopper"): PodCounters(
            migrated_pages=1000,
            cross_socket_migrated_pages=600,
            migration_nanoseconds=123_456_789,
            hint_fault_pages_local=70,
            hint_fault_pages_remote=30,
            cross_socket_task_migrations=5,
        ),
        WHOLE_NODE: PodCounters(migrated_pages=1234),
        KERNEL: PodCounters(migrated_pages=1233),
    }


def test_an_empty_page_has_no_pods():
    assert read("") == {}
