"""The order of an uninstall, with a limit on each wait.

1. The operator ends, so that nobody makes new pins.
2. Every NumaPin loses its place; agents give the cpusets back, read the kernel's answer and
   report it. What is waited for is that report, on the very generation of the spec.
3. NumaPins are deleted, the agents end, and only then NumaNodes are deleted, because a
   living agent would make its own anew.

Each step looks at what is there and may be repeated: a hook that was interrupted is simply
run again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from numapin_api.errors import ApiError
from numapin_operator.uninstall.api import Part
from numapin_operator.uninstall.held import Held, awaited, report

T = TypeVar("T")
PAUSE_SECONDS: Final = 1.0
PAUSE_FACTOR: Final = 2.0
"""A look at a big cluster takes a while: the pause after it is so many times as long."""
ALL_SECONDS: Final = 240.0
"""Less than helm waits for a hook (5 minutes), and than the Job may take."""


class Api(Protocol):
    """What is asked of the API server; ``KubeUninstall`` is one. All may raise ApiError."""

    def end(self, part: Part) -> None:
        """Delete a workload."""

    def pods(self, part: Part) -> Mapping[str, bool]:
        """The nodes where it has a pod, and whether that is ready."""

    def pins(self) -> list[Held]:
        """All NumaPins."""

    def release(self, pins: Iterable[Held]) -> None:
        """Take their place out of NumaPins."""

    def delete_pins(self) -> None:
        """Delete all NumaPins."""

    def delete_traces(self) -> None:
        """Delete all NumaTraces."""

    def delete_numa_nodes(self) -> None:
        """Delete all NumaNodes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step may take, in seconds.

    Attributes:
        end: until the pods of a workload are gone.
        release: until all agents have answered.
        patience: until an agent that is not ready is given up.
    """

    end: float = 40.0
    release: float = 120.0
    patience: float = 30.0


class Uninstall:
    """One uninstall.

    Args:
        api: the API server.
        say: tells people what happens, a line at a time.
        clock: monotonic seconds.
        sleep: sleeps that many seconds.
        limits: of the waits.
    """

    def __init__(
        self,
        api: Api,
        *,
        say: Callable[[str], None],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        limits: Limits = Limits(),
    ) -> None:
        self._api, self._say, self._clock, self._sleep = api, say, clock, sleep
        self._limits = limits
        self._deadline = clock() + ALL_SECONDS
        self._trouble = ""

    def run(self) -> tuple[Held, ...]:
        """Do all of it.

        Returns:
            The pins of pods that may still be pinned; they have been named.

        Raises:
            ApiError: the API server could not be reached, or refused, until the end.
        """
        self._end("operator")
        left = self._release_all()
        self._persist(self._delete_pins)
        self._end("agent")
        self._persist(self._api.delete_numa_nodes)
        self._persist(self._api.delete_traces)
        self._say("NumaPins, NumaNodes and NumaTraces are deleted")
        return left

    def _end(self, part: Part) -> None:
        self._persist(lambda: self._api.end(part))
        begun = self._clock()
        while pods := self._persist(lambda: self._api.pods(part)):
            if self._clock() - begun >= self._limits.end:
                where = ", ".join(sorted(pods))
                self._say(f"{part}: its pod on {where} has not ended; going on without it")
                return
            self._sleep(PAUSE_SECONDS)
        self._say(f"{part}: ended")

    def _release_all(self) -> tuple[Held, ...]:
        begun = self._clock()
        pinned: set[tuple[str, str]] = set()
        while True:
            looked = self._clock()
            pins = self._persist(self._api.pins)
            agents = self._persist(lambda: self._api.pods("agent"))
            pinned |= {pin.key for pin in pins if pin.holds}
            ordered = [pin for pin in pins if pin.ordered]
            if ordered:
                self._say(f"asking for the cpusets of {len(ordered)} pods")
                self._persist(lambda: self._api.release(ordered))  # noqa: B023 -- called at once
            seconds = self._clock() - begun
            waiting = awaited(pins, agents, seconds=seconds, patience=self._limits.patience)
            if not waiting or seconds >= self._limits.release:
                break
            self._sleep(max(PAUSE_SECONDS, PAUSE_FACTOR * (self._clock() - looked)))
        left = tuple(pin for pin in pins if not pin.answered and pin.key in pinned)
        self._say(f"{len(pinned) - len(left)} of {len(pinned)} pinned pods have their cpuset back")
        for line in report(left, agents):
            self._say(line)
        if left:
            self._say("on each of these nodes run `numapin restore`, see docs/uninstall.md")
        return left

    def _delete_pins(self) -> None:
        self._api.delete_pins()
        if self._api.pins():
            raise ApiError("there are NumaPins again: does another operator run?")

    def _persist(self, call: Callable[[], T]) -> T:
        """Call until it succeeds; what it raises passes through once all time is over."""
        while True:
            try:
                return call()
            except ApiError as error:
                if self._clock() >= self._deadline:
                    raise
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._say(f"trying again: {error}")
                self._sleep(PAUSE_SECONDS)
