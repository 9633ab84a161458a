"""The three pages, over real HTTP, and every metric by its name."""

import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import urllib3
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from support.wait import until

from numapin_agent.cgroup.activity import Activity
from numapin_agent.counters.pairs import PairCounters
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.health import MOST_PER_PEER, HealthServer
from numapin_agent.metrics import Figures, Meters, pod_families
from numapin_agent.scraped import MemoryFigures, NodeFigures, NumaMoves, PodFigures
from numapin_api.node import Signal

PINNED = PodFigures(
    namespace="demo",
    name="hopper",
    totals=CgroupCounters(
        migrations=1,
        migrated_pages=20,
        cross_socket_migrated_pages=15,
        migration_nanoseconds=2_500_000_000,
        hint_fault_pages_local=7,
        hint_fault_pages_remote=3,
        cross_socket_task_migrations=4,
        pin_moved_pages=256,
        syscall_moved_pages=6,
        scanner_skips=9,
    ),
    memory={0: 0, 1: 4096},
    socket=1,
    pinned=True,
    moved_pages=512,
    moving=(10, 40),
    drifts=3,
    pairs={
        (0, 1): PairCounters(1, 20, 2_500_000_000, 0),
        (1, 0): PairCounters(hint_fault_pages=3),
        (None, 1): PairCounters(migration_nanoseconds=500_000_000),
    },
    activity=Activity(
        page_faults=100,
        major_page_faults=2,
        refaulted_anon=0,
        refaulted_file=5,
        hint_faults=10,
        stalled_some=1_500_000,
        stalled_full=None,
    ),
    huge_pages={1: 2048},
)
COUNTED_BY_US = {
    "numapin_pod_numa_migrated_pages_total",
    "numapin_pod_cross_socket_numa_migrated_pages_total",
    "numapin_pod_numa_migration_seconds_total",
    "numapin_pod_hint_fault_pages_total",
    "numapin_pod_cross_socket_task_migrations_total",
    "numapin_pod_cpuset_moved_pages_total",
    "numapin_pod_syscall_moved_pages_total",
    "numapin_pod_scanner_skips_total",
}
PLAIN = PodFigures(namespace="demo", name="plain", totals=None, memory={0: 8192})
NODE = NodeFigures(
    pages_migrated=99,
    pages_counted=98,
    signals=(Signal(name="hintFaults", level="fentry"),),
    lost=2,
    tracer_alive=True,
    loop_silent_seconds=0.5,
    writes_pending=1,
    programs=(("hintFaults", "hint_fentry", False),),
    counting_since=1_700_000_000.5,
    reloads=2,
    stalled_seconds=11.5,
    memory=(MemoryFigures(0, 0, 8192, 4096), MemoryFigures(1, None, 16, None)),
    lost_pairs=3,
    lost_alarms=5,
    compatibility=NumaMoves(count=12, nanoseconds=34_000_000),
)


def test_zeros_of_what_is_not_counted_are_left_out() -> None:
    """0 pages to another socket would be a lie where memory.stat is all there is."""
    files = replace(PINNED, counted=frozenset({"migrated_pages"}))
    told = {s.name for family in pod_families([files]) for s in family.samples}
    assert told & COUNTED_BY_US == {"numapin_pod_numa_migrated_pages_total"}
    assert told >= {"numapin_pod_pin_moved_pages_total", "numapin_pod_cpuset_drifts_total"}
    assert {s.name for family in pod_families([PINNED]) for s in family.samples} >= COUNTED_BY_US


class Pages:
    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.meters = Meters(self.registry, started=1_700_000_000)
        self.registry.register(Figures(pods=lambda: [PINNED, PLAIN], node=lambda: NODE))
        self.sick: str | None = None
        self.waiting: str | None = None
        self.server = HealthServer(
            "127.0.0.1",
            0,
            registry=self.registry,
            healthy=lambda: self.sick,
            ready=lambda: self.waiting,
        )
        self.server.start()

    def get(self, path: str) -> tuple[int, str]:
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.server.port}{path}", retries=False)
        return answer.status, answer.data.decode()


@pytest.fixture
def pages() -> Iterator[Pages]:
    found = Pages()
    yield found
    found.server.stop()


def test_healthz_and_readyz_say_what_is_wrong(pages: Pages) -> None:
    assert pages.get("/healthz") == (200, "ok\n")
    assert pages.get("/readyz") == (200, "ok\n")
    pages.waiting = "NumaPins have not been listed yet"
    assert pages.get("/readyz") == (503, "NumaPins have not been listed yet\n")
    assert pages.get("/healthz") == (200, "ok\n")
    pages.sick = "the loop is stuck"
    assert pages.get("/healthz") == (503, "the loop is stuck\n")


@pytest.mark.parametrize("path", ["/", "/metrics/x", "/healthz/.."])
def test_nothing_else_is_served(pages: Pages, path: str) -> None:
    assert pages.get(path)[0] == 404


def test_every_metric(pages: Pages) -> None:
    pages.meters.error("ApiUnavailable")
    pages.meters.pass_took(0.004)
    pages.meters.pinned_after(0.004)
    status, text = pages.get("/metrics")
    assert status == 200
    families = list(text_string_to_metric_families(text))
    assert all(f.documentation.endswith(".") for f in families)
    found = {
        (s.name, *(v for k, v in sorted(s.labels.items()) if k != "namespace")): s.value
        for f in families
        for s in f.samples
        if not s.name.endswith(("_bucket", "_created"))
    }
    assert found == {
        ("numapin_pod_numa_migrated_pages_total", "hopper"): 20,
        ("numapin_pod_cross_socket_numa_migrated_pages_total", "hopper"): 15,
        ("numapin_pod_numa_migration_seconds_total", "hopper"): 2.5,
        ("numapin_pod_hint_fault_pages_total", "local", "hopper"): 7,
        ("numapin_pod_hint_fault_pages_total", "remote", "hopper"): 3,
        ("numapin_pod_cross_socket_task_migrations_total", "hopper"): 4,
        ("numapin_pod_syscall_moved_pages_total", "hopper"): 6,
        ("numapin_pod_scanner_skips_total", "hopper"): 9,
        ("numapin_pod_node_pair_migrations_total", "0", "hopper", "1"): 1,
        ("numapin_pod_node_pair_migrations_total", "unknown", "hopper", "1"): 0,
        ("numapin_pod_node_pair_migrated_pages_total", "0", "hopper", "1"): 20,
        ("numapin_pod_node_pair_migrated_pages_total", "unknown", "hopper", "1"): 0,
        ("numapin_pod_node_pair_migration_seconds_total", "0", "hopper", "1"): 2.5,
        ("numapin_pod_node_pair_migration_seconds_total", "unknown", "hopper", "1"): 0.5,
        ("numapin_pod_node_pair_hint_fault_pages_total", "1", "0", "hopper"): 3,
        ("numapin_pod_page_faults_total", "hopper"): 100,
        ("numapin_pod_major_page_faults_total", "hopper"): 2,
        ("numapin_pod_workingset_refault_pages_total", "anon", "hopper"): 0,
        ("numapin_pod_workingset_refault_pages_total", "file", "hopper"): 5,
        ("numapin_pod_kernel_hint_faults_total", "hopper"): 10,
        ("numapin_pod_memory_stall_seconds_total", "hopper", "some"): 1.5,
        ("numapin_pod_huge_pages_resident_bytes", "1", "hopper"): 2048,
        ("ebpf_exporter_numa_move_total",): 12,
        ("ebpf_exporter_numa_latency_total",): 34,
        ("numapin_agent_tracer_lost_pairs_total",): 3,
        ("numapin_agent_memory_alarms_lost_total",): 5,
        ("numapin_pod_memory_resident_bytes", "0", "hopper"): 0,
        ("numapin_pod_memory_resident_bytes", "1", "hopper"): 4096,
        ("numapin_pod_memory_resident_bytes", "0", "plain"): 8192,
        ("numapin_pod_pin_moved_pages_total", "hopper"): 512,
        ("numapin_pod_cpuset_moved_pages_total", "hopper"): 256,
        ("numapin_pod_pinned", "hopper", "1"): 1,
        ("numapin_pod_moving_bytes", "hopper", "done"): 10,
        ("numapin_pod_moving_bytes", "hopper", "total"): 40,
        ("numapin_node_counted_migrated_pages_total",): 98,
        ("numapin_node_numa_pages_migrated_total",): 99,
        ("numapin_agent_signal_level", "fentry", "hintFaults"): 1,
        ("numapin_pod_cpuset_drifts_total", "hopper"): 3,
        ("numapin_node_memory_bytes", "0", "0"): 8192,
        ("numapin_node_memory_bytes", "1", ""): 16,
        ("numapin_node_memory_available_bytes", "0", "0"): 4096,
        ("numapin_agent_program_alive", "hint_fentry", "hintFaults"): 0,
        ("numapin_agent_counting_since_timestamp_seconds",): 1_700_000_000.5,
        ("numapin_agent_tracer_reloads_total",): 2,
        ("numapin_agent_stalled_seconds_total",): 11.5,
        ("numapin_agent_tracer_alive",): 1,
        ("numapin_agent_tracer_lost_total",): 2,
        ("numapin_agent_loop_silent_seconds",): 0.5,
        ("numapin_agent_api_writes_pending",): 1,
        ("numapin_agent_errors_total", "ApiUnavailable"): 1,
        ("numapin_agent_reconcile_seconds_count",): 1,
        ("numapin_agent_reconcile_seconds_sum",): 0.004,
        ("numapin_agent_start_time_seconds",): 1_700_000_000,
        ("numapin_agent_pin_latency_seconds_count",): 1,
        ("numapin_agent_pin_latency_seconds_sum",): 0.004,
    }


def test_one_address_can_not_take_every_thread(pages: Pages) -> None:
    """Any pod may connect, and say nothing."""
    where = ("127.0.0.1", pages.server.port)
    before = threading.active_count()
    held = [
        socket.create_connection(where, timeout=30, source_address=("127.0.0.2", 0))
        for _ in range(5 * MOST_PER_PEER)
    ]
    try:
        # What is too much is closed at once, without an answer.
        assert [one.recv(1) for one in held[MOST_PER_PEER:]] == [b""] * 4 * MOST_PER_PEER
        assert threading.active_count() - before <= MOST_PER_PEER
        assert pages.get("/healthz")[0] == 200
    finally:
        for one in held:
            one.close()

    def again() -> bool:
        asked = socket.create_connection(where, timeout=30, source_address=("127.0.0.2", 0))
        with asked:
            asked.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return asked.recv(15) == b"HTTP/1.0 200 OK"

    until(again, what="room for that address again")


def test_clients_that_hang_up_print_nothing(pages: Pages, capfd: pytest.CaptureFixture) -> None:
    before = threading.active_count()
    for _ in range(3):
        rude = socket.create_connection(("127.0.0.1", pages.server.port))
        rude.sendall(b"GET /metr")
        # Closed with a reset in place of a good-bye.
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()
    assert pages.get("/healthz")[0] == 200
    until(lambda: threading.active_count() <= before, what="all connections to be dealt with")
    assert capfd.readouterr().err == ""
