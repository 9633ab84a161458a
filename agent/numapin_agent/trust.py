"""Whether the counters can be trusted now: what one check after the other makes of that. Pure.

Turns faults, losses and stalls into reasons for the NumaNode's condition and into the decision to
load the kernel programs anew. Finding faults is ``counters.checkup``'s, acting is ``tracing``'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from numapin_agent.counters.pulse import Fault
from numapin_agent.status import Reason
from numapin_api.node import Signal

SHOWN_SECONDS: Final = 600.0
"""How long a loss or a stall stays in the condition: it is over, but somebody should see it."""
STALL_SECONDS: Final = 5.0
"""A heartbeat so late means that the whole process stood still: no lock is held for so long."""
RELOAD_SECONDS: Final = 300.0
"""After a reload that did not help the next one waits so long, then twice as long, and so on."""
RELOAD_MOST_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that were not counted.

    Attributes:
        at: when it was noticed last, in monotonic seconds.
        events: how many in all since they were noticed first.
        full: signals whose table had no room at the last look.
    """

    at: float
    events: int
    full: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stall:
    """The process stood still.

    Attributes:
        at: when it went on, in monotonic seconds.
        seconds: for how long.
    """

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Mended:
    """Programs that did not count and were loaded anew.

    Attributes:
        at: monotonic seconds.
        faults: what was wrong.
    """

    at: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """Where the checks stand.

    Attributes:
        faults: found by the last check.
        total: lost events, as the tracer in force counts them.
        total_pairs: the same of events that were counted, but not for their pair of NUMA nodes.
        loss: the last loss, while it is shown.
        loss_of_pairs: the last of those.
        stall: the last stall, while it is shown.
        mended: by the last reload that was needed, while it is shown.
        reloads: in a row that did not help.
        reloaded_at: monotonic seconds of the last reload.
        broke_off: loading what is in force did not get to its end: another try may give more.
    """

    faults: tuple[Fault, ...] = ()
    total: int = 0
    total_pairs: int = 0
    loss: Loss | None = None
    loss_of_pairs: Loss | None = None
    stall: Stall | None = None
    mended: Mended | None = None
    reloads: int = 0
    reloaded_at: float = float("-inf")
    broke_off: bool = False

    def checked(
        self,
        at: float,
        *,
        faults: tuple[Fault, ...],
        lost: int,
        full: tuple[str, ...],
        lost_pairs: int = 0,
    ) -> "Trust":
        """After one more check.

        Args:
            at: monotonic seconds.
            faults: what does not count.
            lost: events lost since the tracer in force was loaded.
            full: signals whose table has no room.
            lost_pairs: as ``lost``, of events without room in the table of pairs.
        """
        stall = self.stall if self.stall and at - self.stall.at < SHOWN_SECONDS else None
        mended = self.mended if self.mended and at - self.mended.at < SHOWN_SECONDS else None
        loss = _grown(self.loss, at, lost - self.total, full)
        loss_of_pairs = _grown(self.loss_of_pairs, at, lost_pairs - self.total_pairs, ())
        helped = not (faults or self.broke_off) and at - self.reloaded_at >= RELOAD_SECONDS
        return replace(
            self,
            faults=faults,
            total=lost,
            total_pairs=lost_pairs,
            loss=loss,
            loss_of_pairs=loss_of_pairs,
            stall=stall,
            mended=mended,
            reloads=0 if helped else self.reloads,
        )

    def beat(self, at: float, *, late: float) -> "Trust":
        """After a heartbeat that came so many seconds late."""
        return replace(self, stall=Stall(at, late)) if late >= STALL_SECONDS else self

    def reload_due(self, at: float) -> bool:
        """Whether loading the programs anew may help and it is time to try."""
        if not (self.faults or self.broke_off):
            return False
        if self.reloads == 0:
            return True
        pause = min(RELOAD_MOST_SECONDS, RELOAD_SECONDS * 2.0 ** (self.reloads - 1))
        return at - self.reloaded_at >= pause

    def reloaded(self, at: float, *, anew: bool) -> "Trust":
        """After an attempt to load the programs anew.

        Args:
            at: monotonic seconds.
            anew: whether new programs are in force: these have lost nothing yet.
        """
        return replace(
            self,
            reloads=self.reloads + 1,
            reloaded_at=at,
            total=0 if anew else self.total,
            total_pairs=0 if anew else self.total_pairs,
            mended=Mended(at, self.faults) if anew and self.faults else self.mended,
        )

    def loaded(self, *, broke_off: bool) -> "Trust":
        """After programs were put in force, or none could be.

        Args:
            broke_off: see the attributes.
        """
        return replace(self, broke_off=broke_off)

    def reasons(self) -> tuple[Reason, ...]:
        """What the NumaNode's condition says about it."""
        found = []
        if self.faults:
            text = "; ".join(map(str, self.faults))
            found.append(Reason("TracerDead", f"{text}; what it counts means nothing"))
        if self.mended is not None:
            text = "; ".join(map(str, self.mended.faults))
            found.append(
                Reason("TracerReloaded", f"{text}; it was loaded anew and measuring began anew")
            )
        if self.loss is not None:
            why = f": no room in the table of {', '.join(self.loss.full)}" if self.loss.full else ""
            found.append(Reason("EventsLost", f"{self.loss.events} events were not counted{why}"))
        if self.loss_of_pairs is not None:
            found.append(
                Reason(
                    "EventsLost",
                    f"{self.loss_of_pairs.events} events were counted for their pod, but not for "
                    "their pair of NUMA nodes: no room in the table of pairs",
                )
            )
        if self.stall is not None:
            found.append(
                Reason(
                    "Stalled",
                    f"the agent stood still for {self.stall.seconds:.0f} s; the kernel went on "
                    "counting, but no cpuset was looked after",
                )
            )
        return tuple(found)


def _grown(shown: Loss | None, at: float, more: int, full: tuple[str, ...]) -> Loss | None:
    """A loss after one more check: grown, as it was, or shown for long enough."""
    before = shown if shown and at - shown.at < SHOWN_SECONDS else None
    if more <= 0:
        return before
    return Loss(at, (before.events if before else 0) + more, full)


def without_dead(signals: tuple[Signal, ...], faults: tuple[Fault, ...]) -> tuple[Signal, ...]:
    """The signals as they can be relied on: those of a program that does not count are none."""
    why: Mapping[str, str] = {name: str(f) for f in reversed(faults) for name in f.signals}
    return tuple(
        s.model_copy(update={"level": "none", "reason": why[s.name]}) if s.name in why else s
        for s in signals
    )
