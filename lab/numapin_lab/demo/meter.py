"""Reads everything that the demo shows, once per call: agent, kernel files, clock.

Two helper processes while it is open, both ended with it and, should this process be killed,
by the kernel (PR_SET_PDEATHSIG): one ``kubectl port-forward`` to the agent, one ssh that
prints the node's own files. A reading that fails is left out and shows as a longer interval.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import urllib3

from numapin_lab import ports
from numapin_lab.demo.exposition import read
from numapin_lab.demo.nodefiles import NodeReading, readings
from numapin_lab.demo.series import PodCounters, Second

_TIMEOUT = urllib3.Timeout(connect=1.0, read=3.0)


class Child(AbstractContextManager["Child"]):
    """A program that is started again when it ends and stopped with the block."""

    def __init__(self, argv: Callable[[], Sequence[str | Path]], log: Path) -> None:
        """Describe it.

        Args:
            argv: asked for at each start, so that it may change.
            log: stderr, overwritten.
        """
        self._argv = argv
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """The running process, started if it does not run."""
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # takes leave of what ended by itself
            self._process = None
        if self._process is None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("w") as err:
                self._process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *map(str, self._argv())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=err,
                    text=True,
                    # Ctrl-C at the terminal is for us alone: we end it in order.
                    start_new_session=True,
                )
        return self._process

    def stop(self) -> None:
        """End it and wait."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class AgentScraper(Child):
    """The agent's /metrics through a port-forward that follows the agent's restarts."""

    def __init__(
        self,
        kubectl: Sequence[str | Path],
        agent: Callable[[], tuple[str, str, int] | None],
        log: Path,
    ) -> None:
        """Describe it.

        Args:
            kubectl: program and the arguments that choose the cluster.
            agent: namespace, pod and port of the agent that runs now; None when there is none.
            log: of kubectl.
        """
        self._port = ports.choose(("metrics",))["metrics"]
        self._kubectl = kubectl
        self._agent = agent
        self._forwarded: tuple[str, str] | None = None
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)
        super().__init__(self._arguments, log)

    def _arguments(self) -> Sequence[str | Path]:
        found = self._agent()
        if found is None:
            return ["false"]  # ends at once: asked again at the next reading
        namespace, pod, port = found
        self._forwarded = (namespace, pod)
        return [
            *self._kubectl, "port-forward", "-n", namespace, f"pod/{pod}", f"{self._port}:{port}",
        ]  # fmt: skip

    def read(self) -> Mapping[tuple[str, str], PodCounters]:
        """Counters of all pods; empty when the agent can't be reached just now."""
        self.start()
        try:
            answer = self._http.request("GET", f"http://127.0.0.1:{self._port}/metrics")
        except urllib3.exceptions.HTTPError:
            # A forward whose pod is gone may live on without use.
            if self._process is not None and not self._reachable():
                self.stop()
            return {}
        return read(answer.data.decode()) if answer.status == 200 else {}

    def _reachable(self) -> bool:
        found = self._agent()
        return found is not None and found[:2] == self._forwarded


class NodeStream(Child):
    """The node's own files through one ssh; the newest whole pass is kept."""

    def __init__(self, ssh: Sequence[str | Path], log: Path) -> None:
        """Describe it: ``ssh`` is the whole command that prints the passes."""
        super().__init__(lambda: ssh, log)
        self._latest: NodeReading | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> subprocess.Popen[str]:
        """The running process with a thread that reads it."""
        process = super().start()
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=self._follow, args=(process,), daemon=True)
            self._reader.start()
        return process

    def _follow(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            for reading in readings(process.stdout):
                self._latest = reading

    def read(self) -> NodeReading | None:
        """The newest pass; None before the first."""
        self.start()
        return self._latest

    def stop(self) -> None:
        """End the process, then its reader."""
        if self._process is not None:
            self._process.terminate()
        if self._reader is not None:
            self._reader.join(timeout=5)
        super().stop()


class Meter(AbstractContextManager["Meter"]):
    """Both sources on one clock."""

    def __init__(
        self, agent: AgentScraper, node: NodeStream, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Join the two sources; neither is started yet."""
        self._agent = agent
        self._node = node
        self._clock = clock

    def __enter__(self) -> Self:
        self._node.start()
        self._agent.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._agent.stop()
        self._node.stop()

    def read(self) -> Second:
        """What can be read now; a source that can't be read leaves its part empty."""
        pods = self._agent.read()
        node = self._node.read()
        return Second(
            time=self._clock(),
            pods=pods,
            memory=node.memory if node is not None else {},
        )
