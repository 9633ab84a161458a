"""The whole agent against a real API server, on a node of plain files.

Only the kernel is made up: the process, its command line, its watches, writes and files are
the real ones.
"""

import itertools
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, CoreV1Api
from lightkube.generic_resource import create_namespaced_resource
from support import detach
from support.agent_process import AgentProcess, FakeNode
from support.bpf import no_bcc
from support.kubelet_server import Kubelet, container, device, pod, serve
from support.resources import Resources, request
from support.wait import until

from numapin_agent.kube import KubeSource, NotFoundError, connect, pods_of
from numapin_agent.watch import VersionGoneError
from numapin_api.errors import ApiError
from numapin_api.names import API_VERSION, OPERATOR_MANAGER, PIN_LABEL
from numapin_lab import ports
from numapin_lab.controlplane import ControlPlane

pytestmark = pytest.mark.integration

_NUMBERS = itertools.count(1)


class World:
    """A node with its agent, and the API server."""

    def __init__(self, kube: ApiClient, namespace: str, node: FakeNode, agent: AgentProcess):
        self.core = CoreV1Api(kube)
        self.kube = kube
        self.namespace = namespace
        self.node = node
        self.agent = agent
        self.pins = Resources(kube, "numapins", namespace)
        self.nodes = Resources(kube, "numanodes")

    def pod(self, name: str, *, labelled: bool = True) -> str:
        """Make a pod on this node; its UID."""
        made = self.core.create_namespaced_pod(
            self.namespace,
            {
                "metadata": {"name": name, "labels": {PIN_LABEL: "true"} if labelled else {}},
                "spec": {
                    "nodeName": self.agent.node_name,
                    "containers": [{"name": "main", "image": "none"}],
                },
            },
        )
        return str(made.metadata.uid)

    def pin(self, name: str, uid: str, **spec: Any) -> dict[str, Any]:
        """Make a NumaPin to socket 1, as the operator does."""
        wanted = {
            "podUID": uid,
            "nodeName": self.agent.node_name,
            "policy": "(default)",
            "socket": 1,
            "cpus": "2-3",
            "mems": "1",
            **spec,
        }
        return self.pins.apply(
            name,
            {
                "apiVersion": API_VERSION,
                "kind": "NumaPin",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {k: v for k, v in wanted.items() if v is not None},
            },
            manager=OPERATOR_MANAGER,
        )

    def unpin(self, name: str) -> None:
        """Delete a NumaPin."""
        request(self.kube, "DELETE", self.pins.path(name))

    def observed(self, name: str) -> dict[str, Any]:
        """What the agent published."""
        return dict(self.pins.get(name).get("status", {}).get("observed", {}))

    def await_phase(self, name: str, phase: str) -> dict[str, Any]:
        """Wait for a phase; what was published with it."""
        return until(
            lambda: (seen := self.observed(name)).get("phase") == phase and seen,
            what=f"{name} to be {phase}; it is {self.observed(name)};\n{self.agent.log()}",
        )

    def await_effective(self, uid: str, cpus: str, mems: str) -> None:
        """Wait until the kernel has a pod on these CPUs and NUMA nodes."""
        until(
            lambda: self.node.effective(uid) == (cpus, mems),
            what=f"{cpus} {mems}, not {self.node.effective(uid)};\n{self.agent.log()}",
        )


@pytest.fixture
def world(
    kube: ApiClient, apiserver: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[World]:
    """A node named anew for each test, its agent not started yet."""
    name = f"numa-{next(_NUMBERS)}"
    core = CoreV1Api(kube)
    core.create_node({"metadata": {"name": name}})
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    node = FakeNode.make(tmp_path)
    port = ports.choose(("agent",))["agent"]
    agent = AgentProcess(node, name, apiserver.kubeconfig, port)
    yield World(kube, namespace, node, agent)
    agent.end()


@pytest.fixture
def running(world: World) -> World:
    """The same with its agent ready."""
    world.agent.start()
    world.agent.await_ready()
    return world


ALL, ON_ONE = ("0-3", "0-1"), ("2-3", "1")


def test_devices(world: World) -> None:
    """Who holds a device is asked when a pod changes; a short name, as it is in a socket's path."""
    kubelet = Kubelet()
    directory = world.node.root / "var/lib/kubelet/pod-resources"
    directory.mkdir(parents=True)

    def devices() -> Any:
        return world.nodes.get(world.agent.node_name)["status"].get("devices")

    with serve(kubelet, directory / "kubelet.sock"):
        world.agent.start()
        world.agent.await_ready()
        until(lambda: devices() == [], what="no devices", seconds=60)
        kubelet.say(pod("camera", container(device(1), cpus=[3]), namespace=world.namespace))
        world.pod("camera", labelled=False)
        told = {"namespace": world.namespace, "name": "camera", "numaNodes": [1]}
        until(lambda: devices() == [told], what=f"{told};\n{world.agent.log()}", seconds=60)
        status = world.nodes.get(world.agent.node_name)["status"]
        assert status["exclusiveCpus"] == "3"
        assert "devicesUnknown" not in status["capabilities"]


def test_the_numanode_tells_what_the_node_is(running: World) -> None:
    found = running.nodes.get(running.agent.node_name)
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Node", running.agent.node_name)
    status = found["status"]
    assert status["summary"] == {"sockets": 2, "numaNodes": 2, "cpus": "0-3"}
    assert status["topology"]["sockets"][1] == {"id": 1, "cpus": "2-3", "nodes": [1]}
    assert status["capabilities"]["cgroupVersion"] == 2
    assert status["capabilities"]["cgroupDriver"] == "cgroupfs"
    assert status["capabilities"]["kernel"] == "6.12.0-fake"
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    # A made-up kernel has no programs in it, and that is said.
    degraded = until(
        lambda: (
            next(
                c
                for c in running.nodes.get(running.agent.node_name)["status"]["conditions"]
                if c["type"] == "Degraded"
            )["status"]
            == "True"
        ),
        what="Degraded",
    )
    assert degraded


def test_a_running_pod_is_pinned_and_unpinned(running: World) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid, "a" * 64)
    assert running.node.effective(uid) == ALL
    running.pin("hopper", uid)
    seen = running.await_phase("hopper", "Pinned")
    assert running.node.effective(uid) == ON_ONE
    assert seen["effective"] == {"cpus": "2-3", "mems": "1"}
    assert (seen["applied"]["cpus"], seen["applied"]["mems"]) == ON_ONE
    assert seen["generation"] == 1
    status, metrics = running.agent.get("/metrics")
    assert status == 200
    labels = f'namespace="{running.namespace}",pod="hopper"'
    assert f'numapin_pod_pinned{{{labels},socket="1"}} 1.0' in metrics
    assert "numapin_node_numa_pages_migrated_total 42.0" in metrics
    running.unpin("hopper")
    running.await_effective(uid, *ALL)


def test_a_pod_that_starts_later_is_pinned_when_its_cgroup_appears(running: World) -> None:
    uid = running.pod("late")
    running.pin("late", uid)
    running.await_phase("late", "Waiting")
    running.node.pod(uid)
    running.await_effective(uid, *ON_ONE)
    running.await_phase("late", "Pinned")
    text = running.agent.get("/metrics")[1]
    assert "numapin_agent_pin_latency_seconds_count 1.0" in text


def test_the_spec_may_change(running: World) -> None:
    uid = running.pod("mover")
    running.node.pod(uid)
    running.pin("mover", uid)
    running.await_phase("mover", "Pinned")
    running.pin("mover", uid, socket=0, cpus="0-1", mems="0")
    running.await_effective(uid, "0-1", "0")
    until(lambda: running.observed("mover")["generation"] == 2, what="generation 2")


def test_another_policys_terms_write_no_cpuset(running: World) -> None:
    uid = running.pod("hopper")
    pod = running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")

    def written() -> list[int]:
        return [(pod / f"cpuset.{name}").stat().st_mtime_ns for name in ("cpus", "mems")]

    before = written()
    for generation, terms in enumerate(
        (
            {"policy": "databases", "verification": {"minLocalPercent": 90}},
            {"policy": "databases", "memory": "Preferred", "memoryHeadroom": "5%"},
            {"policy": "(default)"},
        ),
        start=2,
    ):
        running.pin("hopper", uid, **terms)
        until(
            lambda wanted=generation: running.observed("hopper")["generation"] == wanted,
            what=f"generation {generation}",
        )
        assert running.observed("hopper")["phase"] == "Pinned"
    assert written() == before
    assert running.node.effective(uid) == ON_ONE


def test_the_label_goes_and_the_cpuset_with_it(running: World) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")
    running.core.patch_namespaced_pod(
        "hopper", running.namespace, {"metadata": {"labels": {PIN_LABEL: None}}}
    )
    running.await_effective(uid, *ALL)
    seen = running.await_phase("hopper", "Unpinned")
    assert seen["problem"]["reason"] == "LabelRemoved"


@pytest.mark.parametrize(
    ("spec", "phase"),
    [
        ({"mode": "Observe"}, "Observing"),
        ({"socket": None, "cpus": None, "mems": None}, "Unpinned"),
    ],
)
def test_an_order_that_turns_to_looking_only_gives_back(
    running: World, spec: dict[str, Any], phase: str
) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")
    running.pin("hopper", uid, **spec)
    running.await_phase("hopper", phase)
    assert running.node.effective(uid) == ALL


@pytest.mark.parametrize(
    ("labelled", "uid", "reason"),
    [(False, None, "LabelRemoved"), (True, "somebody-else", "PodReplaced")],
)
def test_a_pod_that_is_not_the_one_is_never_touched(
    running: World, labelled: bool, uid: str | None, reason: str
) -> None:
    real = running.pod("hopper", labelled=labelled)
    running.node.pod(real)
    running.node.pod("somebody-else")
    running.pin("hopper", uid or real)
    seen = until(lambda: (o := running.observed("hopper")).get("problem") and o, what="a refusal")
    assert seen["problem"]["reason"] == reason
    for each in (real, "somebody-else"):
        assert running.node.effective(each) == ALL
        assert (running.node.root / "run/numapin/pins" / f"{each}.json").exists() is False


def test_drift_is_put_right_and_published(running: World) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")
    running.node.write(uid, "0")
    running.await_effective(uid, *ON_ONE)
    drift = until(lambda: running.observed("hopper").get("drift"), what="drift to be published")
    assert (drift["cpus"], drift["count"]) == ("0", 1)


def test_sigterm_ends_at_once_and_pins_stay(running: World) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")
    begun = time.monotonic()
    assert running.agent.terminate() == 0
    assert time.monotonic() - begun < 1
    assert running.node.effective(uid) == ON_ONE


def test_after_a_crash_pins_are_taken_up_again_and_orphans_released(running: World) -> None:
    kept, orphan, gone = (running.pod(name) for name in ("kept", "orphan", "gone"))
    for name, uid in (("kept", kept), ("orphan", orphan), ("gone", gone)):
        running.node.pod(uid)
        running.pin(name, uid)
        running.await_phase(name, "Pinned")
    running.agent.terminate(signal.SIGKILL)
    before = running.observed("kept")
    running.unpin("orphan")
    running.node.remove(gone)
    running.agent.start()
    running.agent.await_ready()
    running.await_effective(orphan, *ALL)
    assert running.node.effective(kept) == ON_ONE
    records = running.node.root / "run/numapin/pins"
    until(
        lambda: [p.name for p in records.iterdir()] == [f"{kept}.json"],
        what=f"one record, not {list(records.iterdir())}",
    )
    assert running.observed("kept") == before


def test_an_api_server_that_can_not_be_reached_costs_no_pin(running: World, tmp_path: Path) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")
    running.agent.terminate(signal.SIGKILL)
    # The same agent again, but nobody listens where its API server should be.
    away = tmp_path / "away.conf"
    text = running.agent.kubeconfig.read_text()
    dead = f"https://127.0.0.1:{ports.choose(('dead',))['dead']}"
    line = next(x for x in text.splitlines() if "server:" in x)
    away.write_text(text.replace(line, f"{line.split('server:')[0]}server: {dead}"))
    lost = AgentProcess(running.node, running.agent.node_name, away, running.agent.port)
    lost.start()
    try:
        until(lambda: "trying again" in lost.log(), what="the agent to look for its API server")
        assert lost.get("/healthz")[0] == 200
        status, why = lost.get("/readyz")
        assert (status, "not been listed" in why) == (503, True)
        assert running.node.effective(uid) == ON_ONE
        assert lost.terminate() == 0
    finally:
        lost.end()
    assert running.node.effective(uid) == ON_ONE


def test_the_api_server_restarts_and_the_agent_goes_on(
    running: World, apiserver: ControlPlane
) -> None:
    first, second = running.pod("first"), running.pod("second")
    running.node.pod(first)
    running.pin("first", first)
    running.await_phase("first", "Pinned")
    apiserver.restart("kube-apiserver")
    assert running.node.effective(first) == ON_ONE
    running.node.pod(second)
    running.pin("second", second)
    running.await_effective(second, *ON_ONE)
    running.await_phase("second", "Pinned")
    assert running.node.effective(first) == ON_ONE


@pytest.mark.parametrize("memory", ["Strict", "Preferred"])
def test_a_socket_that_runs_full_costs_no_pod_its_life(running: World, memory: str) -> None:
    """The guard has a thread of its own and does not wait for a tick."""
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid, memory=memory)
    running.await_phase("hopper", "Pinned")
    assert running.node.effective(uid) == ON_ONE
    running.node.free(1, kib=16)
    running.await_effective(uid, "2-3", "0-1")
    seen = until(
        lambda: (seen := running.observed("hopper")).get("problem") and seen,
        what="the reason is published",
    )
    assert (seen["phase"], seen["problem"]["reason"]) == ("Pinned", "RanLow")
    assert seen["effective"] == {"cpus": "2-3", "mems": "0-1"}
    assert "drift" not in seen


def test_steady_state_writes_nothing(running: World) -> None:
    uid = running.pod("hopper")
    running.node.pod(uid)
    running.pin("hopper", uid)
    running.await_phase("hopper", "Pinned")
    version = running.pins.get("hopper")["metadata"]["resourceVersion"]
    passes = "numapin_agent_reconcile_seconds_count"

    def count() -> float:
        lines = running.agent.get("/metrics")[1].splitlines()
        return next(float(x.split()[1]) for x in lines if x.startswith(passes))

    begun = count()
    until(lambda: count() >= begun + 6, what="six more looks")
    assert running.pins.get("hopper")["metadata"]["resourceVersion"] == version


def test_a_version_that_is_gone_and_a_kind_that_is_missing_are_told_apart(
    world: World, apiserver: ControlPlane
) -> None:
    client = connect(apiserver.kubeconfig)
    # A new watch cache knows nothing of before its own first list.
    apiserver.restart("kube-apiserver")
    with pytest.raises(VersionGoneError, match="410"):
        next(pods_of(client, world.agent.node_name).watch("1"))
    missing = create_namespaced_resource("numapin.io", "v0", "Nothing", "nothings")
    with pytest.raises(NotFoundError, match="404"):
        KubeSource(client, missing, {}).list()
    version, pods = pods_of(client, world.agent.node_name).list()
    assert (list(pods), version.isdecimal()) == ([], True)
    client.close()


def test_a_token_that_is_refused_is_no_crash(
    world: World, apiserver: ControlPlane, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(apiserver.kubeconfig.read_text().replace(apiserver.token, "no-such-token"))
    client = connect(wrong)
    with pytest.raises(ApiError, match="401"):
        pods_of(client, world.agent.node_name).list()
    with pytest.raises(ApiError, match="401"):
        next(pods_of(client, world.agent.node_name).watch("0"))
    client.close()


def test_without_any_api_server_to_go_to_the_agent_says_so(world: World, tmp_path: Path) -> None:
    empty = tmp_path / "empty.conf"
    empty.write_text("{}")
    agent = AgentProcess(world.node, "numa-0", empty, world.agent.port)
    agent.start()
    assert agent.process is not None
    assert agent.process.wait(10) == 1
    assert "can't start: no way to the API server" in agent.log()
    assert "Traceback" not in agent.log()


def test_without_counters_pods_are_pinned_and_the_numanode_says_so(world: World) -> None:
    world.agent.arguments = ("--no-counters",)
    world.agent.start()
    world.agent.await_ready()
    uid = world.pod("hopper")
    world.node.pod(uid, "a" * 64)
    world.pin("hopper", uid)
    seen = world.await_phase("hopper", "Pinned")
    assert world.node.effective(uid) == ON_ONE
    assert "counters" not in seen

    def told() -> str:
        status = world.nodes.get(world.agent.node_name)["status"]
        signals = status["capabilities"].get("signals", [])
        degraded = next(c for c in status["conditions"] if c["type"] == "Degraded")
        off = [s for s in signals if s["level"] == "none" and "switched off" in s["reason"]]
        return degraded["message"] if signals and off == signals else ""

    assert "switched off" in until(told, what="the NumaNode to say that counters are off")


def test_a_pod_that_claims_anothers_cgroup_gets_nothing(running: World) -> None:
    """As anyone may make it who may create pods."""
    victim = running.pod("victim", labelled=False)
    running.node.pod(victim, "a" * 64)
    thief = running.core.create_namespaced_pod(
        running.namespace,
        {
            "metadata": {
                "name": "thief",
                "labels": {PIN_LABEL: "true"},
                "annotations": {"kubernetes.io/config.mirror": victim},
            },
            "spec": {
                "nodeName": running.agent.node_name,
                "containers": [{"name": "main", "image": "none"}],
            },
            "status": {
                "containerStatuses": [
                    {
                        "name": "main",
                        "containerID": "containerd://" + "a" * 64,
                        "image": "none",
                        "imageID": "",
                        "ready": True,
                        "restartCount": 0,
                    }
                ]
            },
        },
    )
    running.pin("thief", str(thief.metadata.uid))
    running.await_phase("thief", "Waiting")
    assert running.node.effective(victim) == ALL


@pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or "")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows x86-64's registers only")
@pytest.mark.timeout(180)
def test_a_program_detached_from_outside_is_named_and_loaded_anew(running: World) -> None:
    """Real programs on this machine's kernel; the next check is awaited, so half a minute."""
    agent = running.agent

    def metric(start: str) -> str | None:
        lines = agent.get("/metrics")[1].splitlines()
        return next((line.split()[-1] for line in lines if line.startswith(start)), None)

    program = 'numapin_agent_program_alive{program="migrate_start"'
    until(lambda: metric("numapin_agent_signal_level"), what="signals", seconds=60)
    if metric(program) is None:
        pytest.skip("this kernel lets no program be attached")
    assert agent.process is not None
    subprocess.run(
        [sys.executable, detach.__file__, str(agent.process.pid), "mm_migrate_pages_start"],
        check=True,
    )
    until(
        lambda: metric("numapin_agent_tracer_reloads_total") == "1.0",
        what=f"a reload;\n{agent.log()}",
        seconds=60,
    )
    until(lambda: metric(program) == "1.0", what="the program counts again", seconds=30)

    def told() -> bool:
        status = running.nodes.get(agent.node_name)["status"]
        said = [c["message"] for c in status["conditions"] if c["type"] == "Degraded"]
        return "program migrate_start of numaMigrations is not attached any more" in said[0]

    until(told, what=f"the NumaNode names it;\n{agent.log()}")
