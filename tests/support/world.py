"""The running lab as end-to-end tests see it: pods made in one go, and the kernel's own view.

What numapin says is never taken as proof: a test asks the kernel, inside the containers
(``kubectl exec``) and on the node (``ssh``).
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_lab import nodes, ports
from numapin_lab.demo.cluster import AGENT_SELECTOR, OPERATOR_SELECTOR, Cluster, eventually
from numapin_lab.lab import Lab

IMAGE = "localhost/numapin-workloads:lab"
NAMESPACE = "e2e"
AGENT_PORT = 9465
OPERATOR_PORT = 8081
"""Where metrics are served."""
SLEEP = "trap 'exit 0' TERM; sleep infinity & wait"
"""A shell as PID 1 that ends at once when it is told to, and costs an emulated CPU nothing."""
_COMMAND_SECONDS = 240
"""An exec into a pod of an emulated node that starts a dozen others takes a minute."""


@dataclass(frozen=True, slots=True)
class Cpuset:
    """What a process or a cgroup may use."""

    cpus: CpuSet
    mems: NodeSet

    @classmethod
    def of_status(cls, text: str) -> "Cpuset":
        """From /proc/PID/status."""
        found = dict(re.findall(r"^(Cpus|Mems)_allowed_list:\s*(\S*)$", text, re.MULTILINE))
        return cls(CpuSet.parse(found["Cpus"]), NodeSet.parse(found["Mems"]))


def container(name: str = "main", script: str = SLEEP, **more: Any) -> dict[str, Any]:
    """A container that runs a shell script; it needs next to nothing by default."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        **more,
    }


def resources(cpu: str, memory: str, *, limits: bool) -> dict[str, Any]:
    """Requests, and limits of the same size when the pod is to be Guaranteed."""
    wanted = {"cpu": cpu, "memory": memory}
    return {"requests": wanted, "limits": wanted} if limits else {"requests": wanted}


def pod(
    name: str,
    *containers: Mapping[str, Any],
    pinned: bool = True,
    node: str = "numa-0",
    annotations: Mapping[str, str] | None = None,
    init: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A pod's manifest in the tests' namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"e2e": name} | ({PIN_LABEL: PIN_LABEL_VALUE} if pinned else {}),
            "annotations": dict(annotations or {}),
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "dnsPolicy": "Default",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "initContainers": list(init),
            "containers": list(containers) or [container()],
        },
    }


@dataclass(frozen=True, slots=True)
class World:
    """The lab with numapin in it."""

    lab: Lab
    cluster: Cluster

    # Commands

    def kubectl(self, *args: str) -> str:
        """Output of kubectl; fails the test with its error output."""
        argv = [self.lab.programs() / "kubectl", "--kubeconfig", self.lab.paths.kubeconfig, *args]
        return _run([str(a) for a in argv])

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Create an object or change it to this."""
        argv = [self.lab.programs() / "kubectl", "--kubeconfig", self.lab.paths.kubeconfig]
        _run([*map(str, argv), "apply", "-f", "-"], said=json.dumps(manifest))

    def helm(self, *args: str) -> str:
        """All output of helm, that of hooks as well, which it logs; fails the test with it."""
        argv = [self.lab.programs() / "helm", "--kubeconfig", self.lab.paths.kubeconfig, *args]
        done = subprocess.run(
            [str(a) for a in argv], capture_output=True, text=True, check=False, timeout=780
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def exec(self, name: str, *command: str, inside: str = "main") -> str:
        """Output of a command in a container."""
        return self.kubectl("exec", "-n", NAMESPACE, name, "-c", inside, "--", *command)

    def ssh(self, node: str, script: str) -> str:
        """Output of a shell script on a node."""
        return _run(nodes.ssh(self.lab.node(node), self.lab.paths, [script]))

    def patching_crashes(self) -> tuple[str, ...]:
        """Crashes of emulated nodes by the race of QEMU that attaching a program can lose.

        See docs/decisions/2026-11-26-an-emulated-node-may-crash-when-traced.md.
        """
        consoles = sorted(self.lab.paths.logs.glob("*.console.log"))
        text = "\n".join(path.read_text(errors="replace") for path in consoles)
        return tuple(re.findall(r"Oops: int3: .*", text))

    # The kernel's view

    def inside(self, name: str, container_name: str = "main") -> Cpuset:
        """What a process in the container may use, by its own /proc/self/status."""
        return Cpuset.of_status(self.exec(name, "cat", "/proc/self/status", inside=container_name))

    def cgroup(self, name: str) -> str:
        """The pod's cgroup directory on its node."""
        found = self.cluster.pod(NAMESPACE, name)
        assert found is not None
        escaped = str(found.metadata.uid).replace("-", "_")
        return self.ssh(
            found.spec.node_name,
            f"find /sys/fs/cgroup/kubepods.slice -maxdepth 2 -name '*pod{escaped}.slice'",
        ).strip()

    def effective(self, name: str) -> Cpuset:
        """cpuset.*.effective of the pod's cgroup."""
        return self.effective_of(self.node_of(name), self.cgroup(name))

    def effective_of(self, node: str, cgroup: str) -> Cpuset:
        """cpuset.*.effective of any cgroup."""
        cpus, mems = self.ssh(
            node, f"cat {cgroup}/cpuset.cpus.effective {cgroup}/cpuset.mems.effective"
        ).splitlines()
        return Cpuset(CpuSet.parse(cpus), NodeSet.parse(mems))

    def node_of(self, name: str) -> str:
        """The node that the pod runs on."""
        found = self.cluster.pod(NAMESPACE, name)
        assert found is not None
        return str(found.spec.node_name)

    # numapin's view

    def pin(self, name: str) -> NumaPin | None:
        """The pod's NumaPin."""
        return self.cluster.pin(NAMESPACE, name)

    def await_phase(self, name: str, phase: str, *, seconds: float = 240) -> NumaPin:
        """Wait until the agent says that it is in this phase with the newest spec."""

        def there() -> NumaPin | None:
            pin = self.pin(name)
            if pin is None or pin.status is None or pin.status.observed is None:
                return None
            observed = pin.status.observed
            same = observed.phase == phase and observed.generation == pin.metadata.generation
            return pin if same else None

        pin = eventually(there, seconds=seconds, what=f"NumaPin {name} is {phase}")
        assert pin is not None
        return pin

    def condition(self, name: str, kind: str, *, seconds: float = 60) -> Any:
        """Wait until a NumaPin has a condition; return it."""

        def there() -> Any:
            pin = self.pin(name)
            conditions = pin.status.conditions if pin is not None and pin.status else []
            return next((c for c in conditions if c.type == kind), None)

        return eventually(there, seconds=seconds, what=f"NumaPin {name} has condition {kind}")

    def socket_of(self, pin: NumaPin) -> Cpuset:
        """All CPUs and NUMA nodes of the socket that the operator chose."""
        topology = self.numa_node(pin.spec.node_name).status.topology.value()
        assert pin.spec.socket is not None
        socket = topology.socket(pin.spec.socket)
        assert socket is not None
        return Cpuset(socket.cpus, topology.mems(socket.id))

    def numa_node(self, name: str) -> NumaNode:
        """The NumaNode of a node, with a topology."""

        def there() -> NumaNode | None:
            found = self.cluster.numa_node(name)
            whole = found is not None and found.status is not None and found.status.topology
            return found if whole else None

        found = eventually(there, seconds=60, what=f"NumaNode {name} has a topology")
        assert found is not None
        return found

    def events(self, name: str) -> list[Any]:
        """All Events on the pod, by any reporter."""
        found = self.cluster.core.list_namespaced_event(
            NAMESPACE, field_selector=f"involvedObject.name={name}"
        )
        return list(found.items)

    # The agent

    def agent(self, node: str) -> client.V1Pod:
        """The ready agent of a node."""
        found = eventually(
            lambda: self.cluster.component(AGENT_SELECTOR, node),
            seconds=300,
            what=f"the agent of {node} is ready",
        )
        assert found is not None
        return found

    @contextmanager
    def agent_http(self, node: str) -> Iterator[str]:
        """URL of a node's agent, through a port-forward that ends with the block."""
        with self._forwarded(self.agent(node), AGENT_PORT) as url:
            yield url

    @contextmanager
    def operator_http(self) -> Iterator[str]:
        """URL of the operator's metrics, likewise."""
        operator = eventually(
            lambda: self.cluster.component(OPERATOR_SELECTOR),
            seconds=300,
            what="the operator is ready",
        )
        with self._forwarded(operator, OPERATOR_PORT) as url:
            yield url

    @contextmanager
    def _forwarded(self, to: client.V1Pod, port_there: int) -> Iterator[str]:
        port = ports.choose(("forward",))["forward"]
        forward = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                str(self.lab.programs() / "kubectl"),
                *("--kubeconfig", str(self.lab.paths.kubeconfig), "port-forward"),
                *("-n", str(to.metadata.namespace), f"pod/{to.metadata.name}"),
                f"{port}:{port_there}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(
                lambda: get(f"{url}/metrics")[0] == 200,
                seconds=120,
                what=f"{to.metadata.name} answers",
            )
            yield url
        finally:
            forward.terminate()
            forward.wait()


def get(url: str) -> tuple[int, str]:
    """Status and body."""
    answer = urllib3.request("GET", url, timeout=30.0, retries=False)
    return answer.status, answer.data.decode()


def _run(argv: Sequence[str], said: str = "") -> str:
    done = subprocess.run(
        argv, input=said, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS
    )
    if done.returncode != 0:
        message = f"{argv} ended with status {done.returncode}: {done.stderr.strip()}"
        raise AssertionError(message)
    return done.stdout
