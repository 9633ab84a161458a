"""The whole agent against a real API server, on a node of plain files.

Only the kernel is made up: the process, its command line, its watches, writes and files are
the real ones.
"""

import platform
import subprocess
import sys
from typing import Any

import pytest
from support import detach
from support.agent_world import ALL, ON_ONE, World
from support.bpf import no_bcc
from support.kubelet_server import Kubelet, container, device, pod, serve
from support.wait import until

from numapin_api.names import PIN_LABEL

pytestmark = pytest.mark.integration


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
        uid = world.pod("camera", labelled=False)
        told = {
            "namespace": world.namespace,
            "name": "camera",
            "podUID": uid,
            "numaNodes": [1],
        }
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
        seconds=40,  # a process is begun to find that out
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
@pytest.mark.timeout(180)
def test_latencies_are_counted_once_the_pins_counters_are_loaded(world: World) -> None:
    world.agent.arguments = ("--latency-metrics=softirqs",)
    world.agent.start()
    world.agent.await_ready()

    def up() -> bool:
        lines = world.agent.get("/metrics")[1].splitlines()
        return 'numapin_agent_latency_probe_up{probe="softirqs"} 1.0' in lines

    until(up, what=f"softirqs to be counted;\n{world.agent.log()}", seconds=120)
    log = world.agent.log()
    assert log.index("signal numaMigrations") < log.index("latency histograms of softirqs")
    assert world.agent.terminate() == 0


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
