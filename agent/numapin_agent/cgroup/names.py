"""How the kubelet and container runtimes name cgroup directories. Pure.

Sources: kubelet pkg/kubelet/cm/cgroup_manager_linux.go (``ToSystemd``, ``ToCgroupfs``: with
the systemd driver ``-`` in a UID becomes ``_``, and a slice repeats its parent's name),
containerd internal/cri/server (``cri-containerd-<id>.scope``), CRI-O internal/config/cgmgr
(``crio-<id>.scope``), cri-dockerd (``docker-<id>.scope``).
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Driver = Literal["systemd", "cgroupfs", "unknown"]
Qos = Literal["Guaranteed", "Burstable", "BestEffort"]

QOS_CLASSES: Final[tuple[Qos, ...]] = ("Guaranteed", "Burstable", "BestEffort")
UID: Final = re.compile(r"[0-9a-zA-Z-]{1,64}", re.ASCII)
"""Pod UIDs: RFC 4122, and 32 hex digits for static pods."""

_CONTAINER = re.compile(r"(?:(?P<runtime>[a-z][a-z-]*)-)?(?P<id>[0-9a-f]{12,64})(?:\.scope)?")
_ROOT = re.compile(r"(?:[A-Za-z0-9_.-]+-)?kubepods\.slice|kubepods")


def valid_uid(uid: str) -> bool:
    """Whether the UID may be put into a path at all."""
    return UID.fullmatch(uid) is not None


def is_kubepods(name: str) -> bool:
    """Whether a directory of that name is a kubelet's root of pods."""
    return _ROOT.fullmatch(name) is not None


def container_id(name: str) -> str | None:
    """The container id in a cgroup directory's name.

    Returns:
        None for anything else below a pod: CRI-O's conmon, a container's own children.
    """
    m = _CONTAINER.fullmatch(name)
    return None if m is None or (m["runtime"] or "").endswith("conmon") else m["id"]


@dataclass(frozen=True, slots=True)
class Naming:
    """The names below one kubepods root.

    Attributes:
        driver: the kubelet's cgroup driver.
        stem: the root's name without ``.slice``.
    """

    driver: Driver
    stem: str

    @classmethod
    def of(cls, root_name: str) -> "Naming":
        """The naming that a root of this name goes with."""
        if root_name.endswith(".slice"):
            return cls(driver="systemd", stem=root_name.removesuffix(".slice"))
        return cls(driver="cgroupfs", stem=root_name)

    def qos_dir(self, qos: Qos) -> str:
        """The directory of a QoS class below the root; empty for Guaranteed, which has none."""
        if qos == "Guaranteed":
            return ""
        name = qos.lower()
        return f"{self.stem}-{name}.slice" if self.driver == "systemd" else name

    def pod_dir(self, uid: str, qos: Qos) -> str:
        """The name of a pod's directory within its QoS directory."""
        if self.driver == "systemd":
            return f"{self._slice(qos)}-pod{uid.replace('-', '_')}.slice"
        return f"pod{uid}"

    def pod_uid(self, name: str, qos: Qos) -> str | None:
        """The UID in a directory name of that QoS class, or None when it is no pod's."""
        head, tail = (f"{self._slice(qos)}-pod", ".slice")
        if self.driver != "systemd":
            head, tail = "pod", ""
        if not (name.startswith(head) and name.endswith(tail) and len(name) > len(head + tail)):
            return None
        uid = name[len(head) : len(name) - len(tail)]
        if self.driver == "systemd":
            if "-" in uid:
                return None
            uid = uid.replace("_", "-")
        return uid if valid_uid(uid) else None

    def _slice(self, qos: Qos) -> str:
        return self.stem if qos == "Guaranteed" else f"{self.stem}-{qos.lower()}"
