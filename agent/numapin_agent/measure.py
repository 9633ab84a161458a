"""What was counted of a pod before and after its pin, in the form that the API shows.

Between the loop, which knows when a window begins, and the census, which counts. It
deliberately judges nothing and keeps nothing.
"""

from collections.abc import Callable

from numapin_agent import observe
from numapin_agent.census import Census
from numapin_agent.ledger import Sample
from numapin_agent.pin.values import PinReport
from numapin_agent.track import Track
from numapin_api.pin import Counters

SAMPLE_SECONDS = 1.0
"""How old a sample may be that a window begins or ends with."""


class Measure:
    """Asks the census about one pod at a time.

    Args:
        census: the counters.
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(
        self, census: Census, *, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._census = census
        self._clock = clock
        self._wall = wall

    def baseline(self, uid: str) -> Counters | None:
        """What was counted up to now, before the pin; None when nothing was kept."""
        if self._census.last_sample(uid) is None:
            return None  # it has just appeared: there is no "before", and no time to lose
        at = self._census.sample_pod(uid)
        pod = self._census.pod(uid)
        past = pod.before(at) if pod else None
        return observe.counters(past, wall_minus_monotonic=self._offset()) if past else None

    def history_seconds(self, uid: str) -> float:
        """For how long the pod has been counted; infinite where waiting for more is in vain."""
        if self._census.hopeless:
            return float("inf")
        pod = self._census.pod(uid)
        return pod.history_seconds(self._clock()) if pod else 0.0

    def sample(self, uid: str, *, over: float | None) -> Sample | None:
        """The pod's counters of now; right after a tick, which has taken everybody's, of then.

        Args:
            uid: in its cgroup's name.
            over: when its running window is over, in monotonic seconds: a sample from before
                that ends no window once it is. None while none runs.
        """
        if not self._census.counting:
            return None
        last, now = self._census.last_sample(uid), self._clock()
        late = last is not None and over is not None and last.at < over <= now
        if last is None or late or now - last.at >= SAMPLE_SECONDS:
            self._census.sample_pod(uid)
        elif last.refaults is None:
            self._census.look_into_files(uid)
        return self._census.last_sample(uid)

    def window(self, uid: str, track: Track, report: PinReport) -> Counters | None:
        """The last whole window after a pod's pin; None before there is one.

        Binding a pod's memory comes before any window, so what was moved is told in all.
        """
        if track.whole is None:
            return None
        pod = self._census.pod(uid)
        by_kernel = pod.totals().pin_moved_pages if pod else 0
        return observe.counters(
            track.whole,
            wall_minus_monotonic=self._offset(),
            moved_pages=report.moved_pages + by_kernel,
        )

    def _offset(self) -> float:
        return self._wall() - self._clock()
