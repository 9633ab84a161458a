"""Other tools on the node that decide about CPUs of pods, each known by signs of its own.

Pure. Two that write cpusets fight, and the pod loses: where a neighbour writes the cpusets of
all pods, nothing should be pinned. Whoever may create pods must not be able to have numapin stand
down by a label, so a pod is a sign only together with a directory of the host that such a tool
can't do without and that only privileged pods may have.

It deliberately names no tool that it can't tell for sure; a cpuset that nobody owns up to is found
pod by pod (reason Conflict).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from numapin_api.names import STATIC_CPU_MANAGER
from numapin_api.node import Neighbour

HOLD_SECONDS = 600.0
"""How long a neighbour counts after its last sign: tools are restarted and upgraded, exclusive
CPUs come and go with short jobs, and what they wrote stays for a while."""

NRI_DIRECTORIES = ("/run/nri", "/var/run/nri", "/var/lib/nri-resource-policy")
CGROUP_DIRECTORIES = ("/sys/fs/cgroup", "/sys/fs", "/sys")
_DRA_CPU = re.compile(r"dra\.cpu(-[-0-9a-z]+)?-reg\.sock", re.ASCII)
"""Drivers register by a socket of their name; during an upgrade with the pod's UID behind it."""


@dataclass(frozen=True, slots=True)
class PodSign:
    """A pod of the node that runs.

    Attributes:
        app: its label ``app.kubernetes.io/name``.
        koord_app: its label ``koord-app``.
        host_paths: directories of the host that it has.
    """

    app: str = ""
    koord_app: str = ""
    host_paths: Collection[str] = ()

    def has(self, *directories: str) -> bool:
        """Whether it has one of these directories of the host."""
        return any(p.rstrip("/") in directories for p in self.host_paths)


@dataclass(frozen=True, slots=True)
class Signs:
    """All that neighbours are known by.

    Attributes:
        static_cpu_manager: whether the kubelet's CPU manager has the policy static.
        exclusive: whether CPUs are given to single containers now.
        pods: pods that run on the node.
        registered: names of sockets in the kubelet's plugin registry on which somebody listens.
    """

    static_cpu_manager: bool = False
    exclusive: bool = False
    pods: Sequence[PodSign] = ()
    registered: Collection[str] = ()


def cpu_manager(signs: Signs) -> Neighbour | None:
    """The kubelet's CPU manager: with exclusive CPUs it rewrites the cpusets of all containers."""
    if not signs.static_cpu_manager and not signs.exclusive:
        return None
    said = (
        "the kubelet's CPU manager gave CPUs to single containers and keeps all others off them"
        if signs.exclusive
        else "the kubelet's CPU manager is static, and has given no CPUs to single containers"
    )
    return Neighbour(name=STATIC_CPU_MANAGER, stand_down=signs.exclusive, message=said)


def nri_policy(signs: Signs, name: str) -> Neighbour | None:
    """A resource policy of nri-plugins: sets the cpuset of each container, old and new.

    Args:
        signs: of the node.
        name: of the policy's DaemonSet and of its label.
    """
    if any(p.app == name and p.has(*NRI_DIRECTORIES) for p in signs.pods):
        said = "a pod of nri-plugins runs here: it sets the cpuset of every container"
        return Neighbour(name=name, stand_down=True, message=said)
    return None


def balloons(signs: Signs) -> Neighbour | None:
    """nri-plugins' balloons."""
    return nri_policy(signs, "nri-resource-policy-balloons")


def topology_aware(signs: Signs) -> Neighbour | None:
    """nri-plugins' topology-aware."""
    return nri_policy(signs, "nri-resource-policy-topology-aware")


def koordlet(signs: Signs) -> Neighbour | None:
    """Koordinator's agent: its cpuset hook writes share pools to Burstable pods, too."""
    if any(p.koord_app == "koordlet" and p.has(*CGROUP_DIRECTORIES) for p in signs.pods):
        said = "a koordlet runs here: its hooks set the cpusets of pods"
        return Neighbour(name="koordlet", stand_down=True, message=said)
    return None


def dra_driver_cpu(signs: Signs) -> Neighbour | None:
    """kubernetes-sigs' driver for CPUs by ResourceClaim: confines all pods without a claim."""
    if any(_DRA_CPU.fullmatch(name) for name in signs.registered):
        said = "a driver dra.cpu is registered with the kubelet: it sets the cpusets of containers"
        return Neighbour(name="dra-driver-cpu", stand_down=True, message=said)
    return None


DETECTIONS = (cpu_manager, balloons, topology_aware, koordlet, dra_driver_cpu)


def may_be_dra_cpu(name: str) -> bool:
    """Whether a file of the plugin registry is worth a try to connect."""
    return _DRA_CPU.fullmatch(name) is not None


def seen(signs: Signs) -> list[Neighbour]:
    """All neighbours that show signs now."""
    return [found for detect in DETECTIONS if (found := detect(signs)) is not None]


Known = Mapping[str, tuple[float, Neighbour]]
"""Name → when it was seen last (monotonic seconds), and as what."""


def remember(known: Known, found: Iterable[Neighbour], *, now: float) -> Known:
    """What is known with another look.

    Args:
        known: from the look before.
        found: that show signs now.
        now: monotonic seconds.

    Returns:
        Neighbours by name. One that shows no signs any more stays for a while, and so does the
        worse of two states.
    """
    result = {name: entry for name, entry in known.items() if now - entry[0] < HOLD_SECONDS}
    for neighbour in found:
        before = result.get(neighbour.name)
        if before is None or neighbour.stand_down or not before[1].stand_down:
            result[neighbour.name] = now, neighbour
    return dict(sorted(result.items()))
