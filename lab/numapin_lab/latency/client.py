"""Reads what the steady client of redis has measured, from its container's log.

Windows are cut by the client's own clock: that of an emulated node is not this machine's.
"""

import time
from dataclasses import dataclass

from numapin_lab.demo.cluster import Cluster, eventually
from numapin_lab.latency.requests import Batch, between, parse

_UNSEEN_SECONDS = 60
"""Beyond a window: what is said meanwhile has to be in the answer, too."""


@dataclass(frozen=True, slots=True)
class Client:
    """The client of one pod (lab/workloads/latency.yaml).

    Attributes:
        cluster: where it runs.
        namespace: of the pod.
        pod: its name.
    """

    cluster: Cluster
    namespace: str
    pod: str

    def now(self) -> float:
        """When the last request was answered that the log tells of, by the client's clock.

        Raises:
            LabError: it has told of none for a while.
        """
        batches = eventually(lambda: self._read(30), seconds=120, what=f"requests of {self.pod}")
        return batches[-1].time

    def since(self, begin: float, *, seconds: float) -> list[Batch]:
        """Requests of a window, once the log tells of what came after it.

        Args:
            begin: by the client's clock.
            seconds: length of the window; it may be still to come.

        Raises:
            LabError: the client has stopped.
        """
        end = begin + seconds

        def whole() -> list[Batch]:
            batches = self._read(2 * seconds + _UNSEEN_SECONDS)
            return between(batches, begin, end) if batches and batches[-1].time > end else []

        return eventually(whole, seconds=seconds + 120, what=f"{seconds:.0f} s of requests")

    def next(self, seconds: float) -> list[Batch]:
        """Requests of a window that begins now."""
        begin = self.now()
        time.sleep(seconds)  # what is measured: nothing can be had before, and asking costs
        return self.since(begin, seconds=seconds)

    def _read(self, seconds: float) -> list[Batch]:
        said = self.cluster.core.read_namespaced_pod_log(
            self.pod, self.namespace, container="client", since_seconds=round(seconds)
        )
        return parse(said.splitlines())
