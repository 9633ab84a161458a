"""Other rules for the same node and the same pods, as their documentation states them.

Each answers for a pod: the sockets that its threads may run on, and whether that is one. What
is simplified is said with each. None of them moves a pod again.

``random``, ``first-fit``: a socket that has room by requests, any or the first.
``kubelet static``: CPU manager policy static, as in Kubernetes' task "Control CPU Management
Policies": only Guaranteed pods with whole CPUs get CPUs of their own, packed socket by socket;
all others share what is left, on every socket. Memory is not bound (Memory Manager policy None).
``nri topology-aware``: containers go to the lowest pool of the tree (here: a socket) with
enough free CPU and memory, of several to that with the fewest containers, then the most free
CPU; without one, to the root, which is all sockets (nri-plugins, "Topology-Aware Policy").
``nri balloons``: each pod a balloon of its own of as many whole CPUs as it asks for, allocated
where they fit most tightly (allocatorTopologyBalancing false, the default); memory follows the
CPUs and is not counted (nri-plugins, "Balloons Policy").
``numapin Pack``, ``numapin Spread``, ``numapin Spread with moves``: this planner.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from numapin_operator.requests import Requests

Sockets = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Free:
    """What a socket has left by requests.

    Attributes:
        cpu: millicores.
        memory: bytes.
        whole: CPUs that nobody has to himself.
        pods: how many are confined to it.
    """

    cpu: int
    memory: int
    whole: int
    pods: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A pod as a rival sees it.

    Attributes:
        requests: what it asks for.
        guaranteed: it is Guaranteed and asks for whole CPUs.
    """

    requests: Requests
    guaranteed: bool


Rule = Callable[[Asked, Sequence[Free], random.Random], Sockets]


def _fitting(pod: Asked, free: Sequence[Free]) -> list[int]:
    return [
        i
        for i, f in enumerate(free)
        if pod.requests.cpu_millis <= f.cpu and pod.requests.memory_bytes <= f.memory
    ]


def _everywhere(free: Sequence[Free]) -> Sockets:
    return tuple(range(len(free)))


def any_socket(pod: Asked, free: Sequence[Free], chance: random.Random) -> Sockets:
    """One of those with room."""
    found = _fitting(pod, free)
    return (chance.choice(found),) if found else _everywhere(free)


def first_fit(pod: Asked, free: Sequence[Free], chance: random.Random) -> Sockets:  # noqa: ARG001
    """The first with room."""
    found = _fitting(pod, free)
    return (found[0],) if found else _everywhere(free)


def _cpus(pod: Asked) -> int:
    return -(-pod.requests.cpu_millis // 1000)


def _tightest(cpus: int, free: Sequence[Free]) -> Sockets:
    """The socket with the fewest free CPUs that are enough; several, if none has."""
    found = [i for i, f in enumerate(free) if f.whole >= cpus]
    if found:
        return (min(found, key=lambda i: (free[i].whole, i)),)
    return _everywhere(free)


def kubelet_static(pod: Asked, free: Sequence[Free], chance: random.Random) -> Sockets:  # noqa: ARG001
    """CPUs of its own for a Guaranteed pod, the rest anywhere."""
    return _tightest(_cpus(pod), free) if pod.guaranteed else _everywhere(free)


def topology_aware(pod: Asked, free: Sequence[Free], chance: random.Random) -> Sockets:  # noqa: ARG001
    """The socket with the fewest containers, of those with room."""
    found = _fitting(pod, free)
    if not found:
        return _everywhere(free)
    return (min(found, key=lambda i: (free[i].pods, -free[i].cpu, i)),)


def balloons(pod: Asked, free: Sequence[Free], chance: random.Random) -> Sockets:  # noqa: ARG001
    """A balloon of whole CPUs where it fits most tightly."""
    return _tightest(_cpus(pod), free)


RIVALS: Final[dict[str, Rule]] = {
    "random": any_socket,
    "first-fit": first_fit,
    "kubelet static": kubelet_static,
    "nri topology-aware": topology_aware,
    "nri balloons": balloons,
}
OURS: Final = ("numapin Pack", "numapin Spread", "numapin Spread with moves")
RULES: Final = (*RIVALS, *OURS)
EXCLUSIVE: Final = frozenset({"kubelet static", "nri balloons"})
"""Rules that take whole CPUs away from all other pods."""
