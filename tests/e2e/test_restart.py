"""An agent that is replaced: its counters begin anew and say so, and no verdict changes for it.

See docs/decisions/2026-11-25-counters-begin-anew.md.
"""

import pytest
from support.scraped import Samples, scrape
from support.verdicts import await_verdict, said
from support.watched import watched
from support.world import NAMESPACE, World

from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import AGENT_SELECTOR, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(1200, func_only=True),
]

NODE = "numa-0"
BUSY = "burstable"
"""Never idle, so that it stays Verified."""
SINCE = ("numapin_agent_counting_since_timestamp_seconds",)
WINDOWS_SECONDS = 60
"""Three of the tests' windows: a verdict by figures changes after two."""
ANEW = (
    "numapin_pod_numa_",
    "numapin_pod_cross_socket_",
    "numapin_pod_hint_fault_",
    "numapin_pod_cpuset_moved_",
    "numapin_pod_syscall_moved_",
    "numapin_pod_scanner_",
    "numapin_pod_node_pair_",
)
"""What the agent's own programs count. All else it reads: of files, of its records, of the pin."""


def totals(found: Samples) -> Samples:
    return {
        key: value
        for key, value in found.items()
        if key[0].startswith("numapin_pod_") and key[0].endswith("_total")
    }


def fallen(before: Samples, after: Samples) -> set[tuple[str, ...]]:
    return {key for key, value in totals(before).items() if after.get(key, value) < value}


def replace_agent(world: World) -> None:
    """Delete the node's agent and wait for the next one."""
    old = world.agent(NODE).metadata
    world.cluster.core.delete_namespaced_pod(old.name, old.namespace)

    def another() -> bool:
        found = world.cluster.component(AGENT_SELECTOR, NODE)
        return found is not None and found.metadata.uid != old.uid

    eventually(another, seconds=400, what="another agent is ready")


def here(world: World) -> set[str]:
    """Names of the tests' pods of the node."""
    pods = world.cluster.core.list_namespaced_pod(NAMESPACE, field_selector=f"spec.nodeName={NODE}")
    return {found.metadata.name for found in pods.items}


def lost(states: list[NumaPin]) -> list[tuple[str | None, str]]:
    """Verdicts after the first that stand for one that is missing, and why.

    That a pod was idle for a window is said of it by any agent.
    """
    told = [(pin.status.verdict, said(pin)) for pin in states if pin.status is not None]
    missing = ("NoSignal", "Pending", None)
    return [(v, why) for v, why in told[1:] if v in missing and not why.startswith("idle: ")]


def node_time(world: World) -> float:
    return float(world.ssh(NODE, "date +%s.%N"))


def test_a_new_agent_counts_from_a_moment_that_it_tells_and_no_verdict_is_lost(world: World):
    await_verdict(world, BUSY, "Verified")
    names = here(world)
    before, asked = scrape(world, NODE), node_time(world)
    assert SINCE in before
    with watched(world) as told:
        held = {p.metadata.name for p in told.states if p.status and p.status.verdict == "Verified"}
        assert BUSY in held
        replace_agent(world)

        def begun() -> Samples | None:
            found = scrape(world, NODE)
            return found if SINCE in found else None

        after = eventually(begun, seconds=300, what="the new agent counts")
        assert after is not None
        assert before[SINCE] < asked < after[SINCE] <= node_time(world)
        # What fell began anew, by programs that count since then; of the rest nothing fell.
        anew = fallen(before, after)
        assert anew
        assert {key for key in anew if not key[0].startswith(ANEW)} == set()
        eventually(
            lambda: node_time(world) - after[SINCE] > WINDOWS_SECONDS,
            seconds=400,
            what="three windows of the new count",
            every_seconds=5,
        )
        later = scrape(world, NODE)
    assert later[SINCE] == after[SINCE]
    assert fallen(after, later) == set()
    for name in held & names:
        assert lost(told.of(name)) == [], name
    verdicts = {pin.status.verdict for pin in told.of(BUSY) if pin.status is not None}
    assert {"NoSignal", "Pending", None} & verdicts == set()
