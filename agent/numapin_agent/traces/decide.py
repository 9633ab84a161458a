"""What is to become of the NumaTraces of this node. Pure.

Nobody's word is taken for it that a pod is here: the pods that this agent has itself seen on
its node count, in the namespace that the trace is in. Who may make traces is for the API
server (RBAC); what whole nodes are concerned, the namespace stands for that right.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from numapin_agent.pods import PodView
from numapin_agent.ports import Key
from numapin_agent.traces.fair import NOTHING_YET, Had, party, turns
from numapin_api.trace import NumaTrace, TracePhase

UNSEEN_SECONDS: Final = 15.0
"""A pod may have been started just before its trace, and be seen just after it."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Run this one now.

    Attributes:
        trace: what is asked.
        pod: whom it is about; None is the whole node.
    """

    trace: NumaTrace
    pod: PodView | None


@dataclass(frozen=True, slots=True)
class Queue:
    """Say of this one that it waits for others.

    Attributes:
        trace: what is asked.
    """

    trace: NumaTrace


@dataclass(frozen=True, slots=True)
class End:
    """There will be no answer.

    Attributes:
        trace: what was asked.
        phase: Refused, or Failed when it had begun.
        reason: one CamelCase word.
        message: for people.
    """

    trace: NumaTrace
    phase: TracePhase
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Here:
    """What this agent knows and is allowed.

    Attributes:
        node: name of its Kubernetes node.
        namespace: whose traces may ask about the whole node.
        pods: of this node, by namespace and name.
        most: how many traces may run at once.
        had: for how long whose traces ran lately.
    """

    node: str
    namespace: str
    pods: Mapping[Key, PodView]
    most: int
    had: Had = NOTHING_YET


def decide(
    traces: Iterable[NumaTrace],
    here: Here,
    *,
    running: Collection[str],
    told: Collection[str],
    known: Mapping[str, float],
) -> list[Begin | Queue | End]:
    """What to do now; of those that wait for others each is named once.

    Args:
        traces: of this node.
        here: see ``Here``.
        running: UIDs of those that run.
        told: UIDs of those whose end has been written, or is about to be.
        known: by UID, for how many seconds this agent has known the trace.
    """
    ends: list[Begin | Queue | End] = []
    able: dict[str, Begin] = {}
    busy = []
    for trace in traces:
        uid = trace.metadata.uid or ""
        if uid in running:
            busy.append(party(trace))
        handled = uid in running or uid in told or trace.finished
        if handled or trace.metadata.deletion_timestamp or trace.spec.node_name != here.node:
            continue
        action = _one(trace, here, seconds=known.get(uid, 0.0))
        if isinstance(action, Begin):
            able[uid] = action
        elif action is not None:
            ends.append(action)
    free = here.most - len(running)
    waiting = [begin.trace for begin in able.values()]
    begun = turns(waiting, running=busy, had=here.had, free=free)
    chosen = [trace.metadata.uid or "" for trace in begun]
    behind = [
        Queue(begin.trace)
        for uid, begin in able.items()
        if uid not in chosen
        and (begin.trace.status is None or begin.trace.status.phase != "Queued")
    ]
    return [*ends, *(able[uid] for uid in chosen), *behind]


def _one(trace: NumaTrace, here: Here, *, seconds: float) -> Begin | End | None:
    namespace = trace.metadata.namespace or ""
    name = trace.spec.pod_name
    if trace.status is not None and trace.status.phase == "Running":
        return End(trace, "Failed", "AgentRestarted", "the agent was started anew meanwhile")
    if name is None:
        if namespace == here.namespace:
            return Begin(trace, None)
        return End(
            trace,
            "Refused",
            "NodeNotAllowed",
            f"a whole node is traced from namespace {here.namespace} only; here, name a pod of "
            f"namespace {namespace} in spec.podName",
        )
    pod = here.pods.get((namespace, name))
    if pod is not None:
        return Begin(trace, pod)
    if seconds < UNSEEN_SECONDS:
        return None
    return End(trace, "Refused", "PodNotFound", f"no pod {namespace}/{name} on node {here.node}")
