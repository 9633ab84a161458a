"""What a NumaPin says about its pod's cpuset: still held, or given back by the agent's word.

Pure, on the JSON of the API server: there may be 100,000 of them, read every few seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_GIVEN_BACK: Final = frozenset({"Unpinned", "Observing", "Waiting"})
"""Phases in which the agent holds nothing: read back after giving back, or no cgroup there."""
_NOT_HERE: Final = frozenset({"PodNotFound", "PodReplaced", "OtherNode", "NotItsCgroup"})
"""Refusals that mean there is nothing of this pod's to give back: there is no such pod, or the
cgroup that it claims is another's. ``Unsupported`` is none: there may be pins from before."""


@dataclass(frozen=True, slots=True)
class Held:
    """A NumaPin on the way out.

    Attributes:
        namespace: of the pod.
        name: of the pod.
        node: the Kubernetes node that it runs on.
        ordered: the spec still asks for a cpuset.
        holds: the agent has one written, or may write one any moment.
        answered: the agent has said, of this very spec, that it holds nothing.
        problem: what the agent complains about; empty when it does not.
    """

    namespace: str
    name: str
    node: str
    ordered: bool
    holds: bool
    answered: bool
    problem: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def read(obj: Mapping[str, Any]) -> Held:
    """Read a NumaPin as the API server sends it."""
    meta, spec = obj["metadata"], obj["spec"]
    observed = (obj.get("status") or {}).get("observed") or {}
    problem = observed.get("problem") or {}
    ordered = "socket" in spec
    nothing_there = observed.get("phase") in _GIVEN_BACK or (
        observed.get("phase") == "Refused" and problem.get("reason") in _NOT_HERE
    )
    return Held(
        namespace=meta["namespace"],
        name=meta["name"],
        node=spec["nodeName"],
        ordered=ordered,
        holds=(ordered and spec.get("mode") == "Enforce") or "applied" in observed,
        answered=not ordered
        and nothing_there
        and observed.get("generation") == meta.get("generation"),
        problem=str(problem.get("message", "")),
    )


def awaited(
    pins: Iterable[Held], agents: Mapping[str, bool], *, seconds: float, patience: float
) -> list[Held]:
    """The pins that an agent can still be expected to answer for.

    Args:
        pins: all there are.
        agents: the nodes that have an agent, and whether it is ready.
        seconds: how long has been waited.
        patience: how long an agent that is not ready may take to become so.
    """
    return [
        pin
        for pin in pins
        if not pin.answered and pin.node in agents and (agents[pin.node] or seconds < patience)
    ]


def report(left: Iterable[Held], agents: Mapping[str, bool]) -> list[str]:
    """A line for each node where pods may still be pinned: why, and which.

    Args:
        left: the pins that nobody has answered for.
        agents: as in ``awaited``.
    """
    by_node: dict[str, list[Held]] = {}
    for pin in left:
        by_node.setdefault(pin.node, []).append(pin)
    return [_line(node, pins, agents) for node, pins in sorted(by_node.items())]


def _line(node: str, pins: list[Held], agents: Mapping[str, bool]) -> str:
    why = "no agent runs there"
    if node in agents:
        why = "its agent did not answer" if agents[node] else "its agent is not ready"
        why = next((f"its agent says: {p.problem}" for p in pins if p.problem), why)
    names = ", ".join(sorted("/".join(p.key) for p in pins))
    return f"node {node}: {why}; still pinned: {names}"
