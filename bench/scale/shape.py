"""What the simulated cluster is made of: nodes, policies, pods, and what agents say of pins.

Pure. Sizes and names follow from a number alone, so that a run that was broken off goes on
where it stopped. The machines have two sockets of 64 CPUs and 256 GiB; a pod has 20
environment variables and two policies' worth of labels, about 4 KB as the API server sends it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from numapin_api.names import API_VERSION, PIN_LABEL, PIN_LABEL_VALUE
from numapin_api.pin import STEADY_WINDOWS

Json = dict[str, Any]

GIB: Final = 1 << 30
NAMESPACES: Final = 20
GROUPS: Final = 50
"""Different values of the label that policies select by."""
WINDOW_SECONDS: Final = 8 * 3600
"""Of the figures that agents tell once. Real ones tell new ones every ten minutes; here none go
stale within a run, for then each pin would be written once more."""
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
OBSERVED_BYTES: Final = 400 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """How big the cluster is.

    Attributes:
        nodes: NumaNodes.
        labelled: pods with the label.
        unlabelled: pods without.
        policies: NumaPolicies; each selects one of ``GROUPS`` groups of pods.
    """

    nodes: int
    labelled: int
    unlabelled: int
    policies: int

    @property
    def label(self) -> str:
        """Names a point of a curve."""
        return f"n{self.nodes}-p{self.labelled}-u{self.unlabelled}-r{self.policies}"


def namespace(number: int) -> str:
    """The namespace of a pod."""
    return f"scale-{number % NAMESPACES}"


def node(number: int) -> Json:
    """A NumaNode without its status."""
    return {
        "apiVersion": API_VERSION,
        "kind": "NumaNode",
        "metadata": {"name": f"node-{number}"},
    }


def node_status() -> Json:
    """A machine of two sockets with 64 CPUs and 256 GiB each."""
    cpus = ["0-63", "64-127"]
    return {
        "topology": {
            "sockets": [{"id": i, "cpus": cpus[i], "nodes": [i]} for i in (0, 1)],
            "nodes": [
                {"id": i, "cpus": cpus[i], "memoryBytes": 256 * GIB, "socket": i} for i in (0, 1)
            ],
            "distances": [[10, 21], [21, 10]],
        },
        "capabilities": {
            "kernel": "6.12",
            "cgroupVersion": 2,
            "cgroupDriver": "systemd",
            "numaBalancing": True,
            "signals": [
                {"name": "numaMigrations", "level": "fentry"},
                {"name": "hintFaults", "level": "fentry"},
            ],
        },
    }


def policy(number: int) -> Json:
    """A NumaPolicy for one group of pods."""
    return {
        "apiVersion": API_VERSION,
        "kind": "NumaPolicy",
        "metadata": {"name": f"policy-{number}"},
        "spec": {
            "priority": number,
            "podSelector": {"matchLabels": {"group": f"group-{number % GROUPS}"}},
        },
    }


def pod(name: str, number: int, shape: Shape, *, labelled: bool) -> Json:
    """A pod on its node already."""
    labels = {"app": f"app-{number % 997}", "group": f"group-{number % GROUPS}"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace(number),
            "labels": labels | ({PIN_LABEL: PIN_LABEL_VALUE} if labelled else {}),
        },
        "spec": {
            "nodeName": f"node-{number % shape.nodes}",
            "containers": [
                {
                    "name": "main",
                    "image": "none",
                    "env": [{"name": f"V{i}", "value": "x" * 60} for i in range(20)],
                    "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
                }
            ],
        },
    }


def current(counters: Json, *, now: datetime) -> bool:
    """Whether figures are still of a window that is not over."""
    since = datetime.strptime(counters["since"], _TIME).replace(tzinfo=UTC)
    return now < since + timedelta(seconds=counters["seconds"])


def observed(pin: Json, *, now: datetime, window: bool) -> Json:
    """What the agent of a pin's node says of it, for the generation that it has.

    Args:
        pin: the NumaPin.
        now: wall clock.
        window: whether its first whole window is over; all is well then.
    """
    spec = pin["spec"]
    time = now.astimezone(UTC).strftime(_TIME)
    cpuset = {"cpus": spec["cpus"], "mems": spec["mems"]}
    said: Json = {
        "generation": pin["metadata"]["generation"],
        "phase": "Pinned",
        "applied": cpuset | {"time": time},
        "effective": cpuset,
        "containers": [cpuset | {"name": "main"}],
        "memory": [{"node": int(spec["mems"]), "bytes": OBSERVED_BYTES}],
        "threads": 4,
    }
    if window:
        # So many that a verdict which a broken-off run left behind is overturned, too.
        said["windows"] = STEADY_WINDOWS
        said["counters"] = {
            "since": time,
            "seconds": WINDOW_SECONDS,
            "hintFaultPagesLocal": 9900,
            "hintFaultPagesRemote": 100,
            "cpuNanoseconds": WINDOW_SECONDS * 500_000_000,
        }
    return {
        "apiVersion": API_VERSION,
        "kind": "NumaPin",
        "metadata": {k: pin["metadata"][k] for k in ("name", "namespace")},
        "status": {"observed": said},
    }
