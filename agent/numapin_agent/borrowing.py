"""Knows of each pinned pod which files it maps on other NUMA nodes that others are charged for.

Decides when to look: not before a pin has been in force for half a minute, then once in 15
minutes at most, never while pages move, and in a thread of its own, for the loop waits for
nobody. Names other pods only to their own namespace: whoever reads its NumaPin must not learn
what runs beside it. How to look is ``pin.sampler``'s.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeGuard

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin.borrowed import File, Told
from numapin_agent.pin.sampler import Sampler
from numapin_agent.pin.syscall import MovePages
from numapin_agent.pin.values import PinReport
from numapin_agent.pods import PodView
from numapin_agent.ports import Cgroups, Key
from numapin_agent.status import Reason
from numapin_agent.track import MEASURED
from numapin_api.cpulist import NodeSet
from numapin_api.errors import NumapinError
from numapin_api.pin import BORROWED_PODS, Borrowed, Observed

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 30.0
"""A pod that has just started has mapped next to nothing, and its pin is in a hurry."""
EACH_SECONDS: Final = 900.0
"""Between two looks at a pod, and how long it is remembered which files another one maps."""


@dataclass(slots=True)
class _Known:
    """What is known of a pod while its pin is in force on the same NUMA nodes."""

    home: NodeSet
    due: float
    answer: tuple[Borrowed, ...]

    def names(self) -> frozenset[tuple[str, int]]:
        return frozenset((b.path, b.node) for b in self.answer)


class Borrowing:
    """What pods borrow.

    Args:
        sampler: looks at processes.
        cgroups: finds pods' cgroups.
        pods: of the node, by namespace and name.
        changed: called from another thread, with the UID in a pod's cgroup, when other files are
            to be told of it.
        failed: called from that thread with each error.
        submit: has a look run, one at a time; by default in a thread of its own.
        clock: monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 -- by keyword
        self,
        sampler: Sampler,
        *,
        cgroups: Cgroups,
        pods: Callable[[], Mapping[Key, PodView]],
        changed: Callable[[str], None],
        failed: Callable[[Exception], None],
        submit: Callable[[Callable[[], None]], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampler = sampler
        self._cgroups = cgroups
        self._pods = pods
        self._changed = changed
        self._failed = failed
        self._clock = clock
        self._problem: Reason | None = None
        self._known: dict[str, _Known] = {}
        self._files: dict[str, tuple[float, frozenset[File]]] = {}
        # Its thread begins with the first look.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="borrowing")
        self._submit = submit or self._executor.submit

    @classmethod
    def on_this_host(
        cls,
        paths: HostPaths,
        *,
        cgroups: CgroupHost,
        pods: Callable[[], Mapping[Key, PodView]],
        changed: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> "Borrowing":
        """The real one.

        Raises:
            MoveError: move_pages(2) is not known for this machine's architecture.
        """
        sampler = Sampler(proc=paths.proc, calls=MovePages())
        return cls(sampler, cgroups=cgroups, pods=pods, changed=changed, failed=failed)

    def of(
        self, key: Key, uid: str, report: PinReport, *, home: NodeSet, held: Observed | None
    ) -> list[Borrowed]:
        """What is known of a pod; has it looked at if that is due. Called by one thread.

        Args:
            key: its namespace and name.
            uid: in its cgroup's name.
            report: how its pin stands.
            home: its pin's NUMA nodes; empty when unknown.
            held: what was published last: holds until this agent has looked itself.
        """
        if report.phase not in MEASURED or not home:
            self._known.pop(uid, None)
            return []
        now = self._clock()
        known = self._known.get(uid)
        if known is None or known.home != home:
            before = held.borrowed if held is not None and known is None else []
            answer = tuple(b for b in before if b.node not in home)
            known = _Known(home, now + FIRST_SECONDS, answer)
            there = {pod.cgroup_uid for pod in self._pods().values()}
            self._known = {u: k for u, k in self._known.items() if u in there} | {uid: known}
        if now >= known.due:
            known.due = now + EACH_SECONDS
            look = known
            self._submit(lambda: self._look(key, uid, look))
        return list(known.answer)

    def problems(self) -> tuple[Reason, ...]:
        """What is wrong with the looks themselves, for the node's conditions."""
        return () if self._problem is None else (self._problem,)

    def close(self) -> None:
        """Stop looking; nobody may ask any more."""
        self._sampler.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _look(self, key: Key, uid: str, known: _Known) -> None:
        if self._known.get(uid) is not known:
            return  # it moves, or is on other NUMA nodes now
        try:
            answer = self._ask(key, uid, known)
        except NumapinError as e:
            log.warning("%s/%s: its files are not looked at: %s", *key, e)
            self._failed(e)
            return
        except Exception as e:  # the thread's edge: the next look may go better
            log.exception("%s/%s: looking at its files", *key)
            self._failed(e)
            what = f"looking at files of {key[0]}/{key[1]}: {type(e).__name__}, see the agent's log"
            self._problem = Reason("InternalError", what)
            return
        self._problem = None
        before = known.names()
        if self._sampler.stopped:
            return
        known.answer = answer
        if known.names() != before:
            self._changed(uid)

    def _ask(self, key: Key, uid: str, known: _Known) -> tuple[Borrowed, ...]:
        pod = self._cgroups.find_pod(uid)
        # Of a pod on cgroup v1 the kernel does not say where the files lie that it maps.
        told = self._sampler.look(pod, known.home, known.names()) if _v2(pod) else None
        if not told:
            return ()
        others = dict(self._others(uid))
        return tuple(_borrowed(one, key[0], others) for one in told)

    def _others(self, uid: str) -> Iterator[tuple[Key, frozenset[File]]]:
        """All other pods of the node and the files that they map."""
        now = self._clock()
        files = {u: f for u, f in self._files.items() if now - f[0] < EACH_SECONDS}
        there = {pod.cgroup_uid: key for key, pod in self._pods().items()}
        self._files = {u: f for u, f in files.items() if u in there}
        for other, key in there.items():
            if other == uid:
                continue
            if other not in self._files:
                pod = self._cgroups.find_pod(other)
                mapped = self._sampler.files(pod) if _v2(pod) else frozenset()
                self._files[other] = now, mapped
            yield key, self._files[other][1]


def _v2(pod: object) -> TypeGuard[PodCgroup]:
    return isinstance(pod, PodCgroup)


def _borrowed(one: Told, namespace: str, others: Mapping[Key, Iterable[File]]) -> Borrowed:
    """In its wire form.

    Args:
        one: what was found.
        namespace: of the pod.
        others: the other pods of the node and the files that they map.
    """
    mapping = sorted(key for key, files in others.items() if any(map(one.file.same, files)))
    names = [name for space, name in mapping if space == namespace][:BORROWED_PODS]
    path, node = one.name
    return Borrowed(
        path=path, node=node, bytes=one.bytes, pods=names, others=len(mapping) - len(names)
    )
