"""Puts pods, nodes and two readings of each agent together into a ranking. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from numapin_cli.advise.answer import Ranking, row
from numapin_cli.advise.facts import History, Json, Machine, key, labelled, subject
from numapin_cli.advise.weigh import rank, weigh
from numapin_cli.live.frame import Problem, remarks
from numapin_cli.live.rates import between
from numapin_cli.live.values import AgentReading, Gathered, PodReading

UNKNOWN = Machine(None)


def ranking(
    pods: Iterable[Json],
    machines: Mapping[str, Machine],
    *,
    first: Gathered,
    last: Gathered,
    now: datetime,
) -> Ranking:
    """What is advised for each pod.

    Args:
        pods: of nodes that were read, as the API server sends them.
        machines: by node.
        first: readings at the start of the window.
        last: readings at its end.
        now: wall clock.

    Raises:
        ValueError: a pod holds a quantity that is none.
    """
    rates = {n: between(first.readings.get(n), r) for n, r in last.readings.items()}
    found, already = [], 0
    for pod in pods:
        node = pod["spec"]["nodeName"]
        reading = last.readings[node]
        seen = reading.pods.get(key(pod))
        already += labelled(pod)
        about = subject(
            pod,
            reading=seen,
            rates=rates[node].get(key(pod)),
            history=_history(pod, first.readings.get(node), reading, now),
        )
        if about is not None:
            found.append(weigh(about, machines.get(node, UNKNOWN)))
    windows = [r.at - first.readings[n].at for n, r in last.readings.items() if n in first.readings]
    return Ranking(
        time=now,
        seconds=round(min(windows, default=0), 1),
        pods=[row(number, a) for number, a in enumerate(rank(found), start=1)],
        labelled=already,
        problems=[Problem(node=n, message=m) for n, m in sorted(last.problems.items())],
        remarks=[
            Problem(node=n, message=m)
            for n, r in sorted(last.readings.items())
            for m in remarks(first.readings.get(n), r)
        ],
    )


def _history(
    pod: Json, first: AgentReading | None, last: AgentReading, now: datetime
) -> History | None:
    """What was counted up to the window, and over how long where the agent says so."""
    seen: PodReading | None = first.pods.get(key(pod)) if first else None
    if first is None or seen is None or seen.counts is None:
        return None
    if first.since is None:
        return History(seen.counts, None)
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    began = max(first.since, made.timestamp())
    seconds = now.timestamp() - (last.at - first.at) - began
    return History(seen.counts, seconds if seconds > 0 else None)
