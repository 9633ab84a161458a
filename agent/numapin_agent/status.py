"""NumaNode.status from what was read and probed: pure, and quiet about small changes.

It deliberately reads nothing; topology, memory, cgroup host and counters are handed in.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from numapin_api.base import Condition
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CpuListError, NumapinError
from numapin_api.node import (
    CORROBORATING,
    SIGNALS,
    Capabilities,
    NumaNodeStatus,
    NumaNodeUsage,
    Signal,
    Summary,
    TopologyStatus,
    Usage,
)
from numapin_api.topology import Topology

USAGE_STEP = 0.05
"""Usage is rewritten only when a NUMA node's free memory moved by this share of it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is wrong with this node's agent.

    Attributes:
        reason: one CamelCase word.
        message: for people.
        fatal: nothing can be pinned because of it; else only some signal is missing.
    """

    reason: str
    message: str
    fatal: bool = False


def of_error(error: NumapinError, *, fatal: bool = False) -> Reason:
    """The reason that an error stands for."""
    return Reason(error.reason, str(error), fatal)


def conditions(
    reasons: Sequence[Reason], previous: Sequence[Condition], *, now: datetime
) -> list[Condition]:
    """Ready and Degraded, with transition times carried over.

    Args:
        reasons: what is wrong now; several make one message.
        previous: the conditions that were published last.
        now: the time of a transition that happens here.
    """

    def condition(
        kind: str, found: Sequence[Reason], *, bad: Literal["True", "False"]
    ) -> Condition:
        good: Literal["True", "False"] = "False" if bad == "True" else "True"
        status = bad if found else good
        old = next((c for c in previous if c.type == kind and c.status == status), None)
        return Condition(
            type=kind,
            status=status,
            reason=found[0].reason if found else ("AsExpected"),
            message="; ".join(r.message for r in found)[:1024],
            last_transition_time=old.last_transition_time if old else now.replace(microsecond=0),
        )

    return [
        condition("Ready", [r for r in reasons if r.fatal], bad="False"),
        condition("Degraded", list(reasons), bad="True"),
    ]


def usage_moved(
    old: Usage | None, available: Mapping[int, int], memory_bytes: Mapping[int, int]
) -> bool:
    """Whether free memory moved so much that it is worth a write.

    Args:
        old: what was published last.
        available: bytes that can be had now, per NUMA node.
        memory_bytes: total of each NUMA node.
    """
    if old is None:
        return True
    before = {n.id: n.memory_available_bytes for n in old.nodes}
    if before.keys() != available.keys():
        return True
    return any(
        abs(size - before[node]) >= USAGE_STEP * max(1, memory_bytes.get(node, 0))
        for node, size in available.items()
    )


def summary(topology: Topology) -> Summary:
    """What the printer columns show."""
    return Summary(
        sockets=len(topology.sockets),
        numa_nodes=len(topology.nodes),
        cpus=str(CpuSet(cpu for s in topology.sockets for cpu in s.cpus)),
    )


def usage(available: Mapping[int, int]) -> Usage:
    """Free memory in its wire form, ascending by NUMA node."""
    return Usage(
        nodes=[NumaNodeUsage(id=n, memory_available_bytes=b) for n, b in sorted(available.items())]
    )


def node_status(  # noqa: PLR0913 -- a status is made of many things, all by keyword
    *,
    topology: Topology | None,
    available: Mapping[int, int],
    reserved_cpus: str,
    capabilities: Capabilities,
    agent_version: str,
    reasons: Sequence[Reason],
    previous: NumaNodeStatus | None,
    now: datetime,
) -> NumaNodeStatus:
    """The whole status, equal to the previous one when nothing moved that matters.

    Args:
        topology: as read, None when it can't be.
        available: bytes that can be had per NUMA node.
        reserved_cpus: cpulist that the kubelet keeps for the system.
        capabilities: as probed.
        agent_version: this package's.
        reasons: what is wrong.
        previous: what was published last.
        now: time of transitions.
    """
    old_usage = previous.usage if previous else None
    totals = {n.id: n.memory_bytes for n in topology.nodes} if topology else {}
    moved = usage_moved(old_usage, available, totals)
    return NumaNodeStatus(
        topology=TopologyStatus.of(topology) if topology else None,
        summary=summary(topology) if topology else None,
        usage=usage(available) if moved else old_usage,
        reserved_cpus=reserved_cpus,
        capabilities=capabilities,
        agent_version=agent_version,
        conditions=conditions(reasons, previous.conditions if previous else [], now=now),
    )


def no_signals(error: NumapinError) -> tuple[Signal, ...]:
    """All signals, none of which can be had because of an error."""
    return tuple(Signal(name=name, level="none", reason=str(error)) for name in SIGNALS)


def signal_reasons(signals: Sequence[Signal]) -> list[Reason]:
    """What is missing among the counters, as reasons of Degraded."""
    missing = [s for s in signals if s.level == "none" and s.name not in CORROBORATING]
    if not missing:
        return []
    text = ", ".join(f"{s.name} ({s.reason or 'no reason given'})" for s in missing)
    return [Reason("CountersUnavailable", f"signals that can't be had: {text}")]


_RESERVED = re.compile(r"^reservedSystemCPUs:\s*[\"']?([0-9,-]*)[\"']?\s*$", re.MULTILINE)


def reserved_from_config(text: str) -> str:
    """``reservedSystemCPUs`` of a kubelet's config.yaml as a cpulist; empty when not set."""
    m = _RESERVED.search(text)
    return _cpulist(m[1]) if m else ""


def reserved_from_state(text: str) -> str:
    """What the static CPU manager took out of the shared pool, from cpu_manager_state.

    The file holds the shared pool (``defaultCpuSet``) and the exclusive sets
    (``entries``); reserved CPUs are in the pool, so this names only those that were given
    to containers exclusively, which no other pod may use either
    (pkg/kubelet/cm/cpumanager/state/checkpoint.go).
    """
    try:
        state = json.loads(text)
    except json.JSONDecodeError:
        return ""
    if not isinstance(state, dict) or state.get("policyName") != "static":
        return ""
    entries = state.get("entries")
    given = (
        str(cpus)
        for containers in (entries.values() if isinstance(entries, dict) else ())
        if isinstance(containers, dict)
        for cpus in containers.values()
    )
    return str(CpuSet(cpu for text in given for cpu in CpuSet.parse(_cpulist(text))))


def _cpulist(text: str) -> str:
    try:
        return str(CpuSet.parse(text))
    except CpuListError:
        return ""


def keep_times(new: NumaNodeStatus, held: NumaNodeStatus | None) -> NumaNodeStatus:
    """The new status with transition times of conditions that the API server holds already.

    Args:
        new: what is to be written, by an agent that was just started.
        held: what its predecessor wrote.
    """
    old = {(c.type, c.status): c.last_transition_time for c in held.conditions} if held else {}
    return new.model_copy(
        update={
            "conditions": [
                c.model_copy(
                    update={
                        "last_transition_time": old.get((c.type, c.status), c.last_transition_time)
                    }
                )
                for c in new.conditions
            ]
        }
    )
