"""Wakes the agent the moment a pod's cgroup appears, so that it is pinned before it runs.

mkdir(2) in cgroupfs raises IN_CREATE like in any file system, so inotify on the three QoS
directories is enough; no polling, no BPF. It deliberately says only *which* pod: whoever is
woken looks for itself, and a lost or doubled event costs nothing but time.
"""

import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inotify_simple import INotify, flags

from numapin_agent.cgroup.host import CgroupHost
from numapin_agent.cgroup.names import Qos

_MASK = flags.CREATE | flags.DELETE | flags.ONLYDIR | flags.DONT_FOLLOW
RETRY_SECONDS = 1.0
"""How often a missing root is looked for: there is no parent left to watch for it."""


class Changes(NamedTuple):
    """Pods whose cgroups came and went, by UID."""

    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    qos: Qos
    path: Path


class CgroupWatch:
    """An inotify watch on the QoS directories of one kubepods root.

    Args:
        host: where the root is.

    Raises:
        UnsupportedError: the host's cgroups can't be used.
        OSError: no inotify instance is left (fs.inotify.max_user_instances).
    """

    def __init__(self, host: CgroupHost) -> None:
        self._host = host
        host.required_root()
        self._inotify = INotify(nonblocking=True)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._inotify.fileno(), select.POLLIN)
        self._poll.register(self._stop, select.POLLIN)
        self._places: dict[int, _Place] = {}
        self._known: set[str] = set()
        self._thread: threading.Thread | None = None

    def wait(self, seconds: float | None = None) -> Changes:
        """Block until pods came or went, ``seconds`` are over or ``close`` was called.

        Args:
            seconds: the longest wait; None waits for ever.

        Returns:
            The changes; empty on a timeout. The first call tells of all pods there are.
        """
        if not self._places:
            changes = self._arm()
            if any(changes):
                return changes
        blind = RETRY_SECONDS if not self._places else None
        limits = [limit for limit in (seconds, blind) if limit is not None]
        self._poll.poll(min(limits) * 1000 if limits else None)
        return self._read()

    def start(self, appeared: Callable[[str], None], vanished: Callable[[str], None]) -> None:
        """Call back from a thread of its own until ``close``.

        Args:
            appeared: called with the UID of each pod whose cgroup is there now.
            vanished: called with the UID of each pod whose cgroup is gone.
        """

        def run() -> None:
            while not self._stopped():
                changes = self.wait()
                for uid in changes.appeared:
                    appeared(uid)
                for uid in changes.vanished:
                    vanished(uid)

        self._thread = threading.Thread(target=run, name="cgroup-watch", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread that ``start`` began still runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Stop the thread, if there is one, and give the descriptors back."""
        os.eventfd_write(self._stop, 1)
        if self._thread is not None:
            self._thread.join()
        self._inotify.close()
        os.close(self._stop)

    def _stopped(self) -> bool:
        readable, _, _ = select.select([self._stop], [], [], 0)
        return bool(readable)

    def _read(self) -> Changes:
        appeared: list[str] = []
        vanished: list[str] = []
        rescan = False
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                # Events were lost: what is known may be wrong in both directions.
                self._known.clear()
                rescan = True
                continue
            place = self._places.get(event.wd)
            if place is None:
                continue
            if event.mask & flags.IGNORED:
                del self._places[event.wd]
                rescan = True
                continue
            uid = self._host.pod_uid(event.name, place.qos)
            if uid is None:
                # A QoS directory came or went: _arm sees which.
                rescan = True
            elif event.mask & flags.CREATE:
                if uid not in self._known:
                    appeared.append(uid)
                self._known.add(uid)
            else:
                self._known.discard(uid)
                vanished.append(uid)
        if rescan:
            more = self._arm()
            appeared += more.appeared
            vanished += more.vanished
        return Changes(tuple(appeared), tuple(vanished))

    def _arm(self) -> Changes:
        # Watch first, scan then: a pod made in between is seen by both, never by none.
        for qos, path in self._host.qos_dirs():
            try:
                wd = self._inotify.add_watch(path, _MASK)
            except (FileNotFoundError, NotADirectoryError):
                continue
            self._places[wd] = _Place(qos, path)
        found = {pod.uid for pod in self._host.pods()}
        appeared, vanished = found - self._known, self._known - found
        self._known = found
        return Changes(tuple(sorted(appeared)), tuple(sorted(vanished)))
