"""NumaNode.status from what was read and probed: pure, and quiet about small changes.

It deliberately reads nothing; topology, memory, cgroup host and counters are handed in.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from numapin_agent import hugepages, usage
from numapin_agent.kubelet.resources import UNASKED, Resources
from numapin_agent.usage import Use
from numapin_api.base import Condition
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CpuListError, NumapinError
from numapin_api.node import (
    CORROBORATING,
    SIGNALS,
    Capabilities,
    Neighbour,
    NumaNodeStatus,
    Signal,
    Summary,
    TopologyStatus,
)
from numapin_api.topology import Topology


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


def summary(topology: Topology) -> Summary:
    """What the printer columns show."""
    return Summary(
        sockets=len(topology.sockets),
        numa_nodes=len(topology.nodes),
        cpus=str(CpuSet(cpu for s in topology.sockets for cpu in s.cpus)),
    )


def node_status(  # noqa: PLR0913 -- a status is made of many things, all by keyword
    *,
    topology: Topology | None,
    use: Use,
    reserved_cpus: CpuSet,
    exclusive_cpus: CpuSet,
    resources: Resources,
    neighbours: Sequence[Neighbour],
    capabilities: Capabilities,
    agent_version: str,
    reasons: Sequence[Reason],
    previous: NumaNodeStatus | None,
    now: datetime,
) -> NumaNodeStatus:
    """The whole status, equal to the previous one when nothing moved that matters.

    Args:
        topology: as read, None when it can't be.
        use: memory, CPU time and huge pages.
        reserved_cpus: what the kubelet's own files keep for the system.
        exclusive_cpus: what they say was given to single containers.
        resources: what the kubelet said when it was asked.
        neighbours: other tools that pin.
        capabilities: as probed; without signals while the counters are being loaded.
        agent_version: this package's.
        reasons: what is wrong.
        previous: what was published last.
        now: time of transitions.
    """
    old_usage = previous.usage if previous else None
    moved = topology is None or usage.moved(old_usage, use, topology)
    devices = previous.devices if previous and resources == UNASKED else resources.wire()
    online = CpuSet(cpu for s in topology.sockets for cpu in s.cpus) if topology else CpuSet()
    return NumaNodeStatus(
        topology=TopologyStatus.of(topology, hugepages=hugepages.configured(use.pools))
        if topology
        else None,
        summary=summary(topology) if topology else None,
        usage=usage.usage(use, before=old_usage) if moved else old_usage,
        reserved_cpus=str(CpuSet(reserved_cpus | resources.reserved(online))),
        exclusive_cpus=str(CpuSet(exclusive_cpus | resources.exclusive)),
        devices=devices,
        neighbours=list(neighbours),
        capabilities=capabilities.model_copy(
            update={
                "devices_unknown": resources.problem,
                "signals": _signals(capabilities, previous),
            }
        ),
        agent_version=agent_version,
        conditions=conditions(reasons, previous.conditions if previous else [], now=now),
    )


def _signals(found: Capabilities, before: NumaNodeStatus | None) -> list[Signal]:
    """How each signal is had; while that is being found out, how it was had before.

    Without any signal nobody could be told from a node whose verdicts wait for counters in vain.
    """
    if found.signals or before is None or before.capabilities is None:
        return found.signals
    return before.capabilities.signals


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


def reserved_from_config(text: str) -> CpuSet:
    """``reservedSystemCPUs`` of a kubelet's config.yaml; empty when not set."""
    m = _RESERVED.search(text)
    return _cpulist(m[1]) if m else CpuSet()


@dataclass(frozen=True, slots=True)
class CpuManager:
    """What the kubelet's CPU manager wrote down.

    Attributes:
        static: whether its policy is static.
        exclusive: CPUs that it gave to single containers.
    """

    static: bool = False
    exclusive: CpuSet = CpuSet()  # noqa: RUF009 (immutable)


def cpu_manager(text: str) -> CpuManager:
    """What the CPU manager took out of the shared pool, from cpu_manager_state.

    The file holds the shared pool (``defaultCpuSet``) and the exclusive sets
    (``entries``); reserved CPUs are in the pool, so this names only those that were given
    to containers exclusively, which no other pod may use either
    (pkg/kubelet/cm/cpumanager/state/checkpoint.go).
    """
    try:
        state = json.loads(text)
    except json.JSONDecodeError:
        return CpuManager()
    if not isinstance(state, dict) or state.get("policyName") != "static":
        return CpuManager()
    entries = state.get("entries")
    given = (
        str(cpus)
        for containers in (entries.values() if isinstance(entries, dict) else ())
        if isinstance(containers, dict)
        for cpus in containers.values()
    )
    return CpuManager(static=True, exclusive=CpuSet(c for text in given for c in _cpulist(text)))


def _cpulist(text: str) -> CpuSet:
    try:
        return CpuSet.parse(text)
    except CpuListError:
        return CpuSet()


def take_over(new: NumaNodeStatus, held: NumaNodeStatus | None) -> NumaNodeStatus:
    """The first status of an agent that was just started, with what its predecessor knew.

    Args:
        new: what is to be written: CPU use is not known yet, the kubelet perhaps not asked, and
            the counters perhaps not loaded.
        held: what the API server holds.
    """
    if held is None:
        return new
    old = {(c.type, c.status): c.last_transition_time for c in held.conditions}
    update: dict[str, object] = {
        "conditions": [
            c.model_copy(
                update={"last_transition_time": old.get((c.type, c.status), c.last_transition_time)}
            )
            for c in new.conditions
        ]
    }
    if new.usage and held.usage and new.usage.sockets is None:
        update["usage"] = new.usage.model_copy(update={"sockets": held.usage.sockets})
    if new.capabilities:
        update["capabilities"] = new.capabilities.model_copy(
            update={"signals": _signals(new.capabilities, held)}
        )
        if new.capabilities.devices_unknown == UNASKED.problem:
            update["devices"] = held.devices
    return new.model_copy(update=update)
