"""The always-on histograms on this machine's kernel, against what the kernel counts itself."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from support.bpf import no_bcc
from support.wait import until

from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.bpf.syscalls import map_info, map_update
from numapin_agent.hostpaths import HostPaths
from numapin_agent.latency.held import Latency
from numapin_agent.trace import records
from numapin_agent.trace.histogram import SLOTS, VALUE_SIZE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]

NET_RX = 3


def softirqs(vector: str) -> int:
    lines = Path("/proc/softirqs").read_text().splitlines()
    return next(sum(map(int, x.split()[1:])) for x in lines if x.strip().startswith(f"{vector}:"))


def counted(families: list[Metric], name: str, **labels: str) -> float:
    return next(
        s.value for f in families for s in f.samples if s.name == name and s.labels == labels
    )


@pytest.fixture
def errors() -> list[Exception]:
    return []


@pytest.fixture
def latency(errors) -> Iterator[Latency]:
    made = Latency(
        ("softirqs", "timers"), paths=HostPaths(), options=LoadOptions(), failed=errors.append
    )
    made.start()
    until(lambda: not made.missing() or errors, what="both probes", seconds=120)
    yield made
    made.stop()


def packets(count: int) -> None:
    work = (
        "import socket\n"
        "a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in 'ab')\n"
        "b.bind(('127.0.0.1', 0))\n"
        f"for _ in range({count}):\n    a.sendto(b'x', b.getsockname()); b.recv(10)\n"
    )
    subprocess.run([sys.executable, "-c", work], check=True)


def test_softirqs_are_as_many_as_the_kernel_counts(latency, errors):
    """What lies between two readings lies between what the kernel counts inside and around."""
    name = "numapin_node_softirq_seconds_count"
    packets(10)
    outer = softirqs("NET_RX")
    before = counted(list(latency.collect()), name, vector="NET_RX")
    inner = softirqs("NET_RX")
    packets(1000)
    inner = softirqs("NET_RX") - inner
    after = counted(list(latency.collect()), name, vector="NET_RX")
    outer = softirqs("NET_RX") - outer
    assert inner <= after - before <= outer
    assert inner >= 1000
    assert errors == []


def test_a_bucket_counts_on_where_32_bits_end(latency):
    """At 100,000 softirqs a second that is twelve hours."""
    table = latency._held["softirqs"].maps["cpu_hists"]
    assert map_info(table).value_size == VALUE_SIZE
    most = (1 << 32) - 1
    for cpu in range(os.cpu_count() or 1):
        full = struct.pack(f"=3Q{SLOTS}Q", SLOTS * most, 0, 0, *[most] * SLOTS)
        map_update(table, struct.pack("=QII", NET_RX, records.SOFTIRQ, cpu), full)
    packets(1000)
    name = "numapin_node_softirq_seconds_count"
    counted_now = counted(list(latency.collect()), name, vector="NET_RX")
    assert counted_now >= (os.cpu_count() or 1) * SLOTS * most + 1000


def test_timers_count_and_both_probes_are_up(latency):
    before = list(latency.collect())
    subprocess.run(["sleep", "0.1"], check=True)
    after = list(latency.collect())
    name = "numapin_node_timer_seconds_count"
    assert counted(after, name, timer="hrtimer") > counted(before, name, timer="hrtimer")
    for probe in ("softirqs", "timers"):
        assert counted(after, "numapin_agent_latency_probe_up", probe=probe) == 1
        assert counted(after, "numapin_agent_latency_lost_total", probe=probe) == 0
        assert counted(after, "numapin_agent_latency_program_runs_total", probe=probe) > 0


def test_stopped_it_has_nothing_attached(latency):
    latency.stop()
    assert latency.read() == {}
    up = counted(list(latency.collect()), "numapin_agent_latency_probe_up", probe="timers")
    assert up == 0


def test_programs_that_somebody_detached_are_given_up_and_attached_anew(errors):
    made = Latency(
        ("softirqs",),
        paths=HostPaths(),
        options=LoadOptions(),
        failed=errors.append,
        check_seconds=2.0,
    )
    made.start()
    try:
        until(lambda: not made.missing(), what="the probe", seconds=120)
        first = made.programs("softirqs")
        made._held["softirqs"].detach()
        until(lambda: errors, what="it is found out", seconds=60)
        assert "latency histograms of softirqs counted nothing for 2 s" in str(errors[0])
        until(lambda: not made.missing(), what="the probe again", seconds=120)
        assert made.programs("softirqs") != () != first
        packets(100)
        name = "numapin_node_softirq_seconds_count"
        assert counted(list(made.collect()), name, vector="NET_RX") >= 100
        assert len(errors) == 1
    finally:
        made.stop()


def test_what_this_kernel_refuses_is_told_and_keeps_nobody_waiting(errors):
    refused = Latency(
        ("softirqs",),
        paths=HostPaths(),
        options=LoadOptions(interpreters=("/no/such/python",)),
        failed=errors.append,
    )
    refused.start()
    until(lambda: errors, what="the refusal")
    assert "/no/such/python" in str(errors[0])
    up = counted(list(refused.collect()), "numapin_agent_latency_probe_up", probe="softirqs")
    assert up == 0
    refused.stop()
