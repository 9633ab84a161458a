"""One refresh of ``numapin top``: everything it shows, from two readings of each agent. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from numapin_api.base import Timestamp, Wire
from numapin_api.topology import Topology
from numapin_cli.live.rates import between, restarted
from numapin_cli.live.rows import SORTS, PairRow, PodRow, Sort, ordered, pair_rows, pod_rows
from numapin_cli.live.values import AgentReading, Gathered

By = Literal["pod", "pair"]
RIGHT: Final = ">", "\x1b[C"
LEFT: Final = "<", "\x1b[D"


class Problem(Wire):
    """A node whose agent could not be asked, or what must be known of its figures."""

    node: str
    message: str


class Frame(Wire):
    """What ``numapin top`` knows at one moment."""

    time: Timestamp
    pods: list[PodRow]
    pairs: list[PairRow]
    problems: list[Problem]
    """Nodes of which nothing is known."""
    remarks: list[Problem]
    """What is known, but must not be taken at its word."""

    def data(self, look: "Look") -> dict[str, Any]:
        """For programs, pods in the order that the user wants."""
        pods = ordered(self.pods, look.sort, reverse=look.reverse)
        return self.model_copy(update={"pods": pods}).model_dump(mode="json", by_alias=True)


def frame(
    first: Mapping[str, AgentReading],
    last: Gathered,
    *,
    topologies: Mapping[str, Topology],
    namespace: str | None,
    now: datetime,
) -> Frame:
    """Put two readings together.

    Args:
        first: by node, of the refresh before.
        last: of this one.
        topologies: by node, where known.
        namespace: whose pods are meant; None for all.
        now: wall clock.
    """
    pods: list[PodRow] = []
    pairs: list[PairRow] = []
    said: list[Problem] = []
    for node, reading in sorted(last.readings.items()):
        rates = between(first.get(node), reading)
        mine = {key: r for key, r in rates.items() if namespace in (None, key[0])}
        pods += pod_rows(node, reading, mine, namespace)
        pairs += pair_rows(node, topologies.get(node), mine.values())
        said += [Problem(node=node, message=m) for m in remarks(first.get(node), reading)]
    return Frame(
        time=now,
        pods=pods,
        pairs=pairs,
        problems=[Problem(node=n, message=m) for n, m in sorted(last.problems.items())],
        remarks=said,
    )


def remarks(first: AgentReading | None, last: AgentReading) -> Iterator[str]:
    """What one must know before one takes an agent's figures at their word.

    Args:
        first: the earlier reading; None if there is none.
        last: the later one.
    """
    if last.alive is False:
        yield "its kernel programs do not count: zeros mean nothing (numapin doctor)"
    if last.pods and all(p.counts is None for p in last.pods.values()):
        yield "nothing is counted there, only memory is known: numapin nodes says why"
    counts = [p.counts for p in last.pods.values() if p.counts is not None]
    if counts and all(c.cross_pages is None for c in counts):
        yield "pages that change socket are not counted there: numapin nodes says why"
    if first is None:
        yield "it has been asked for the first time: rates come with the next refresh"
    elif restarted(first, last):
        yield "its agent was started anew: rates come with the next refresh"
    elif last.lost > first.lost:
        yield f"{last.lost - first.lost:.0f} events were lost: rates are too low"


@dataclass(frozen=True, slots=True)
class Look:
    """How the user wants to see it.

    Attributes:
        sort: order of the pods.
        reverse: the other way round.
        by: pods or pairs of sockets.
        ended: the user has had enough.
    """

    sort: Sort = "time"
    reverse: bool = False
    by: By = "pod"
    ended: bool = False

    def pressed(self, key: str) -> "Look":
        """What a key makes of it; one that means nothing changes nothing."""
        if key in RIGHT or key in LEFT:
            step = 1 if key in RIGHT else -1
            return replace(self, sort=SORTS[(SORTS.index(self.sort) + step) % len(SORTS)])
        match key:
            case "r" | "R":
                return replace(self, reverse=not self.reverse)
            case "p" | "P":
                return replace(self, by="pair" if self.by == "pod" else "pod")
            case "q" | "Q":
                return replace(self, ended=True)
        return self
