"""Counters that stop to count on a real node: found, named, loaded anew; and no number is wrong.

The agent's own link to a tracepoint is taken away from outside (``support.detach``), as nothing
short of that could: a raw tracepoint has no switch. Needs two NUMA nodes, for the agent's page.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from support import detach
from support.scraped import Samples, scrape
from support.world import NAMESPACE, World, get

from numapin_chart import panels
from numapin_lab.demo.board import filled
from numapin_lab.demo.cluster import eventually
from numapin_lab.demo.exposition import read
from numapin_lab.scraping import Server, job, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800, func_only=True)]

NODE = "numa-0"
PROGRAM = "migrate_end"
SINCE = ("numapin_agent_counting_since_timestamp_seconds",)
STALLED = ("numapin_agent_stalled_seconds_total",)
WITHIN_SECONDS = 60
# The agent's process on the node: the one whose command line is the agent's.
AGENT_PID = "pgrep -f '[n]umapin[-_]agent' | sort -n | head -1"


def figures(world: World) -> Samples:
    """The agent's own metrics."""
    return scrape(world, NODE)


def counting(world: World) -> set[str]:
    """Names of the programs that count."""
    return {
        key[1]  # labels come in alphabetical order: program, signal
        for key, value in figures(world).items()
        if key[0] == "numapin_agent_program_alive" and value == 1
    }


def reloads(world: World) -> float:
    return figures(world)[("numapin_agent_tracer_reloads_total",)]


def degraded(world: World) -> str:
    """Message of the NumaNode's condition Degraded while it is True."""
    found = world.numa_node(NODE).status.conditions
    return next((c.message for c in found if (c.type, c.status) == ("Degraded", "True")), "")


def named_at(world: World, program: str, *, since: float) -> float:
    """When the agent first said that a program does not count, by its node's clock.

    Seconds since 1970; the container runtime writes them before each line.
    """
    agent = world.agent(NODE).metadata
    log = world.kubectl("logs", "-n", agent.namespace, agent.name, "--timestamps", "--since=10m")
    found = (line.split(" ", 1) for line in log.splitlines() if f"program {program} of" in line)
    times = (datetime.fromisoformat(time).timestamp() for time, _ in found)
    return min(time for time in times if time >= since)


def take_away(world: World, tracepoint: str) -> None:
    script = Path(detach.__file__).read_text().replace("'", "'\\''")
    world.ssh(NODE, f"python3 -c '{script}' $({AGENT_PID}) {tracepoint}")


def test_every_program_counts_by_events_of_our_own(world: World):
    """The page that is moved and the thread that is sent are really seen, on two NUMA nodes."""
    expected = {"migrate_start", PROGRAM, "task_migrate"}
    eventually(
        lambda: expected <= counting(world), seconds=120, what="all programs are found to count"
    )
    assert reloads(world) == 0
    assert "TracerDead" not in degraded(world)
    # The memory guard hears kswapd with the rights that the agent has; without, this is absent.
    assert figures(world)[("numapin_agent_memory_alarms_lost_total",)] == 0


@pytest.mark.lifecycle
def test_detached_programs_are_named_and_loaded_anew_and_no_window_spans_the_gap(world: World):
    before = figures(world)
    detached = float(world.ssh(NODE, "date +%s.%N"))
    take_away(world, "mm_migrate_pages")
    eventually(lambda: reloads(world) == 1, seconds=180, what="the programs are loaded anew")
    # Within a minute, but for the time in which an emulated node's agent did not run at all.
    stood = figures(world)[STALLED] - before[STALLED]
    assert named_at(world, PROGRAM, since=detached) - detached <= WITHIN_SECONDS + stood
    eventually(
        lambda: f"program {PROGRAM} of" in degraded(world), seconds=60, what="the NumaNode says so"
    )
    assert figures(world)[SINCE] > before[SINCE]

    # Once more, within the time in which no other reload is tried: now they stay dead.
    take_away(world, "all")
    eventually(
        lambda: PROGRAM not in counting(world) and "is not attached any more" in degraded(world),
        seconds=180,
        what="the dead programs are named",
    )
    signals = {s.name: s for s in world.numa_node(NODE).status.capabilities.signals}
    assert {s.level for s in signals.values()} == {"none"}
    assert PROGRAM in signals["numaMigrations"].reason

    def without_signal() -> bool:
        pin = world.pin("burstable")
        return pin is not None and pin.status is not None and pin.status.verdict == "NoSignal"

    eventually(without_signal, seconds=300, what="burstable has the verdict NoSignal")
    eventually(lambda: PROGRAM in counting(world), seconds=900, what="they are loaded anew in time")
    after = figures(world)
    for key, value in before.items():
        if key[0].startswith("numapin_pod_") and key[0].endswith("_total") and key in after:
            assert after[key] >= value, key

    def window_after_the_gap() -> bool:
        pin = world.pin("burstable")
        observed = pin.status.observed if pin is not None and pin.status else None
        if observed is None or observed.counters is None:
            return False
        # The API shows whole seconds.
        return observed.counters.since.timestamp() + 1 >= after[SINCE]

    eventually(window_after_the_gap, seconds=300, what="a whole window after the gap")


@pytest.mark.lifecycle
def test_fentry_programs_that_are_switched_off_are_blind_and_named(world: World):
    """kernel.ftrace_enabled=0 leaves them attached; the kernel's books of hint faults tell."""
    levels = {s.name: s.level for s in world.numa_node(NODE).status.capabilities.signals}
    if levels["hintFaults"] != "fentry":
        pytest.skip(f"hintFaults is had by {levels['hintFaults']} on this kernel")
    set_to = "sysctl -qw kernel.ftrace_enabled={}"
    refused = world.ssh(NODE, f"{set_to.format(0)} 2>&1 || echo refused")
    if "refused" in refused:
        pytest.skip(f"this kernel does not switch its function tracer off: {refused.strip()}")
    try:
        eventually(
            lambda: "hint_fentry" in degraded(world) and "is blind" in degraded(world),
            seconds=300,
            what="the blind program is named",
        )
    finally:
        world.ssh(NODE, set_to.format(1))
    eventually(
        lambda: "hint_fentry" in counting(world), seconds=600, what="the program counts again"
    )


@pytest.mark.lifecycle
def test_an_agent_that_stood_still_loses_nothing_and_says_so(world: World):
    lost = figures(world)[("numapin_agent_tracer_lost_total",)]
    world.ssh(NODE, f"pid=$({AGENT_PID}); kill -STOP $pid; sleep 12; kill -CONT $pid")
    eventually(lambda: figures(world)[STALLED] >= 5, seconds=60, what="the stall is counted")
    eventually(lambda: "stood still" in degraded(world), seconds=60, what="the NumaNode says so")
    assert figures(world)[("numapin_agent_tracer_lost_total",)] == lost


@contextmanager
def scraping(world: World) -> Iterator[Server]:
    """A Prometheus on this machine that asks agents and operator through port-forwards."""
    with ExitStack() as open_:
        urls = {node: open_.enter_context(world.agent_http(node)) for node in ("numa-0", "numa-1")}
        urls["operator"] = open_.enter_context(world.operator_http())
        scrapes = [job(name, url.removeprefix("http://"), seconds=5) for name, url in urls.items()]
        yield open_.enter_context(running(scrapes))


def test_every_query_of_the_dashboard_runs_on_what_the_lab_offers(world: World):
    """Each is taken; those whose metric the lab has now return series."""
    with scraping(world) as server:
        eventually(
            lambda: (
                server.query("rate(numapin_pod_numa_migrated_pages_total[1m])")
                and server.query("rate(numapin_operator_api_writes_total[1m])")
            ),
            seconds=180,
            what="two scrapes of agents and operator",
        )
        empty = {
            panel.title
            for panel in panels.PANELS
            if not any(server.query(filled(expression)) for expression, _ in panel.lines)
        }
        # Only while pages are being moved.
        assert empty <= {"Memory still to be moved"}
        pods = {s["metric"]["pod"] for s in server.query("numapin_pod_pinned == 1")}
        assert {"burstable", "besteffort"} <= pods
    with world.agent_http(NODE) as url:
        assert (NAMESPACE, "burstable") in read(get(f"{url}/metrics")[1])
