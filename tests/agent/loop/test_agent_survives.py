"""The whole agent through ends, crashes and outages of the API server: no pin is lost."""

import signal
import time
from pathlib import Path

import pytest
from lightkube.generic_resource import create_namespaced_resource
from support.agent_process import AgentProcess
from support.agent_world import ALL, ON_ONE, World
from support.wait import until

from numapin_agent.kube import KubeSource, NotFoundError, connect, pods_of
from numapin_agent.watch import VersionGoneError
from numapin_api.errors import ApiError
from numapin_lab import ports
from numapin_lab.controlplane import ControlPlane

pytestmark = pytest.mark.integration


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
        until(lambda: lost.get("/healthz")[0] == 200, what="it to be healthy")
        status, why = lost.get("/readyz")
        assert (status, "not been listed" in why) == (503, True)
        assert running.node.effective(uid) == ON_ONE
        # Nor does it cost a pod its life: the guard waits for no API server.
        running.node.free(1, kib=16)
        until(
            lambda: running.node.effective(uid) == ("2-3", "0-1"),
            what=f"the pod to be widened; the agent's log:\n{lost.log()}",
        )
        assert lost.terminate() == 0
    finally:
        lost.end()
    assert running.node.effective(uid) == ("2-3", "0-1")


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
