"""What to do next, for each way in which a pin can stand.

Advice only: nothing here changes a verdict, and nothing that is said is done.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from numapin_api.node import CORROBORATING
from numapin_cli.views.effect import PAGE_CACHE
from numapin_cli.views.explanation import Explanation
from numapin_cli.views.units import size


def next_steps(e: Explanation) -> tuple[str, ...]:
    """What the reader can do, most promising first.

    Args:
        e: the explanation, but for its ``next``.
    """
    steps = list(_BY_VERDICT.get(e.verdict or "", _waiting)(e))
    worse = [c for c in e.effect if c.direction == "worse"]
    if worse:
        named = ", ".join(f"{c.name} {c.before:,.1f} -> {c.after:,.1f} {c.unit}" for c in worse)
        steps.append(
            f"since the pin it is worse off: {named}; compare over a longer window, and un-pin it "
            f"if that stays so: kubectl label pod {e.name} -n {e.namespace} numapin.io/pin-"
        )
    if any(c.name == PAGE_CACHE for c in worse) and e.memory_mode != "None":
        steps.append(
            "its page cache has less room on one socket and is read anew more often; with "
            f"kubectl annotate pod {e.name} -n {e.namespace} numapin.io/memory=None only its CPUs "
            "are pinned"
        )
    if e.borrowed:
        steps.append(
            "files that others are charged for lie on another socket, where no pin moves them: "
            "have this pod read them first, or bring those that read them to this socket "
            "(placement.colocate in the policy)"
        )
    if e.verdict and e.verdict_now and e.verdict != e.verdict_now:
        steps.append(
            f"the same checks now say {e.verdict_now}, the operator last said {e.verdict}: "
            "if that stays so, look whether the operator runs"
        )
    return tuple(steps)


def _failed(e: Explanation) -> set[str]:
    return {c.name for c in e.checks if c.ok is False}


def _agent(e: Explanation) -> str:
    return (
        f"look at the agent of node {e.node}: kubectl get pods -A "
        f"-l app.kubernetes.io/component=agent --field-selector spec.nodeName={e.node}"
    )


def _waiting(e: Explanation) -> Iterator[str]:
    if e.problem is not None:
        yield f"the agent reports {e.problem.reason}: {e.problem.message}"
    if e.phase is None:
        yield f"wait a few seconds for the agent's first report; else {_agent(e)}"
    elif e.phase == "Waiting":
        yield (
            f"wait until the pod's containers start: kubectl describe pod {e.name} -n {e.namespace}"
        )
    elif e.phase == "Baseline":
        yield "wait: the counters before the pin are being read"
    elif e.phase == "Moving":
        moved = ""
        if e.moving is not None:
            moved = f" ({size(e.moving.bytes_done)} of {size(e.moving.bytes_total)} done)"
        yield f"wait: the pod's memory is being moved{moved}; CPUs are pinned already"
    elif e.verification is not None:
        yield f"wait until a whole window of {e.verification.window} is counted"


def _verified(e: Explanation) -> Iterator[str]:
    if e.evidence == "ByPlacement":
        yield "nothing to do; the check hintFaults says why the kernel gave no samples to measure"
    else:
        yield "nothing to do"


def _ineffective(e: Explanation) -> Iterator[str]:
    failed = _failed(e)
    if e.problem is not None:
        yield f"the agent reports {e.problem.reason}: {e.problem.message}"
    if "containers" in failed:
        yield (
            "a container has a cpuset of its own that reaches outside: the static CPU Manager, "
            "a runtime plugin (nri-plugins, koordlet) or the container itself set it; take it away"
        )
    elif failed & {"cpus", "mems"}:
        yield f"the pod's cpuset is not what was asked for; {_agent(e)}"
    if "residency" in failed:
        yield (
            "memory stays elsewhere: page cache or shared memory that others touched first does "
            "not move; restart the pod so that it allocates on its socket"
        )
    if "migrations" in failed:
        yield (
            "pages still cross sockets: look for processes with an affinity or mbind of their "
            "own, and whether the pod shares memory with pods of another socket"
        )
    if "hintFaults" in failed:
        yield (
            "threads touch memory of other NUMA nodes; where a socket has several, "
            "granularity NumaNode in the policy keeps the pod on one"
        )
    if "dramFills" in failed:
        yield (
            "programs read another socket's DRAM, though the pod's own memory may be here: "
            "libraries, page cache or shared memory that others touched first lie there"
        )
    if not failed and e.problem is None:
        yield _agent(e)


def _drifted(e: Explanation) -> Iterator[str]:
    yield (
        "something else writes this pod's cpuset (static CPU Manager, nri-plugins, koordlet, an "
        "administrator): find it and keep it off this pod, or take the label away"
    )
    if e.drift is not None:
        yield f"it set CPUs {e.drift.cpus}, memory nodes {e.drift.mems}, {e.drift.count} times"


def _no_signal(e: Explanation) -> Iterator[str]:
    if e.numa_balancing is False:
        yield (
            f"switch NUMA balancing on for node {e.node}, or nothing can be counted: "
            "sysctl kernel.numa_balancing=1"
        )
    if any(c.name == "activity" and c.ok is not True for c in e.checks):
        yield "give the pod something to do: an idle pod proves nothing"
    missing = [s for s in e.signals if s.level == "none" and s.name not in CORROBORATING]
    for signal in missing:
        yield f"{signal.name} can't be had on node {e.node}: {signal.reason or 'no reason given'}"
    if not e.signals:
        yield _agent(e)


def _conflict(e: Explanation) -> Iterator[str]:
    yield (
        "another tool decides about this pod's CPUs and numapin stands back: choose one of them; "
        f"numapin lets go with kubectl label pod {e.name} -n {e.namespace} numapin.io/pin-"
    )


def _unplaceable(e: Explanation) -> Iterator[str]:
    yield (
        "make room on one socket, lower the pod's requests, or let the policy pin CPUs only "
        "(placement.onUnplaceable: CpuOnly) or memory while there is room (memory: Preferred)"
    )
    yield f"what node {e.node} has: numapin nodes; what is pinned there: numapin status -A"


def _invalid(e: Explanation) -> Iterator[str]:
    yield (
        "correct the annotation that the message names: "
        f"kubectl annotate pod {e.name} -n {e.namespace} --overwrite numapin.io/...=..."
    )


def _observing(e: Explanation) -> Iterator[str]:
    yield f"mode Observe never pins; to pin, set mode Enforce in policy {e.policy}"


_BY_VERDICT: Final[Mapping[str, Callable[[Explanation], Iterator[str]]]] = {
    "Pending": _waiting,
    "Verified": _verified,
    "Ineffective": _ineffective,
    "Drifted": _drifted,
    "NoSignal": _no_signal,
    "Conflict": _conflict,
    "Unplaceable": _unplaceable,
    "Invalid": _invalid,
    "Observing": _observing,
}
