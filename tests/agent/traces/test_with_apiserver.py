"""Traces asked for by objects of a real API server and answered by this machine's kernel."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubernetes.client import ApiClient
from support.bpf import held_ids, no_bcc, still_there
from support.resources import Resources, request
from support.tenants import Program
from support.wait import until

from numapin_agent import kube as agent_kube
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pods import PodView
from numapin_agent.publisher import Publisher
from numapin_agent.trace.result import Result
from numapin_agent.trace.run import hierarchy
from numapin_agent.traces.runner import Limits, Traces
from numapin_agent.traces.statuses import Statuses
from numapin_api.errors import ApiError
from numapin_api.names import API_VERSION
from numapin_api.trace import unpack
from numapin_lab.controlplane import ControlPlane

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(180),
]

_NUMBERS = itertools.count(1)
ANSWER_SECONDS = 90


class World:
    """An agent's traces, and the API server; ``pods`` is what the agent sees on its node."""

    def __init__(self, kube: ApiClient, kubeconfig: Path, namespace: str, store: Path) -> None:
        self.kube = kube
        self.namespace = namespace
        self.node = f"numa-{next(_NUMBERS)}"
        self.objects = Resources(kube, "numatraces", namespace)
        self.pods: dict[tuple[str, str], PodView] = {}
        self.cgroups: dict[str, Path] = {}
        self.errors: list[Exception] = []
        self.ended: list[str] = []
        self.kubeconfig = kubeconfig
        self.store = store
        self.begin()

    def begin(self, most: int = 1) -> None:
        self.client = client = agent_kube.connect(self.kubeconfig)
        api = agent_kube.Api(client, self.node)
        self.publisher = Publisher(failed=self.errors.append)
        self.traces = Traces(
            source=agent_kube.traces_of(client, self.node),
            pods=lambda: self.pods,
            find=self.cgroups.get,
            paths=HostPaths(),
            store=self.store,
            node=self.node,
            limits=Limits(most, self.namespace),
            statuses=Statuses(self.publisher, api.apply_trace),
            ended=self.ended.append,
            failed=self.errors.append,
            clock=time.monotonic,
        )
        self.publisher.start()
        self.traces.start()

    def end(self) -> None:
        self.traces.stop()
        self.publisher.stop()
        # A change ends the watch. Closed under its thread, the socket's number would be another's
        # soon, and the thread would read from that.
        name = f"last-{next(_NUMBERS)}"
        self.ask(name)
        request(self.kube, "DELETE", self.objects.path(name))
        until(lambda: "watch-numatraces" not in _threads(), what="the watch to end")
        self.client.close()

    def ask(self, name: str, **spec: Any) -> None:
        self.objects.create(
            {
                "apiVersion": API_VERSION,
                "kind": "NumaTrace",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"nodeName": self.node, "probe": "softirqs", "durationSeconds": 1, **spec},
            }
        )

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.objects.get(name).get("status", {}))

    def await_phase(self, name: str, phase: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            seen = self.status(name)
            found = seen.get("phase")
            # Queued stays for a moment after the trace before it has said Done.
            assert found in {None, "Queued", "Running", phase}, seen
            return seen if found == phase else None

        return until(over, what=f"{name} to be {phase}; {self.errors}", seconds=ANSWER_SECONDS)

    def children(self) -> set[int]:
        """Processes of traces that run now."""
        tasks = (_read(t / "children") for t in Path("/proc/self/task").iterdir())
        pids = {int(pid) for task in tasks for pid in task.split()}
        return {p for p in pids if b"numapin_agent.traces" in _read(Path(f"/proc/{p}/cmdline"))}

    def attached(self) -> set[int]:
        return {p for pid in self.children() for p in held_ids(pid)["prog"]}


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""  # it has just ended


@pytest.fixture
def world(
    kube: ApiClient, apiserver: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[World]:
    made = World(kube, apiserver.kubeconfig, namespace, tmp_path)
    yield made
    made.end()
    until(lambda: not made.children(), what="all traces to be gone")


def result_of(status: dict[str, Any]) -> Result:
    return Result.model_validate(unpack(status["result"]))


def test_a_node_is_asked_and_answers(world: World):
    world.ask("one")
    status = world.await_phase("one", "Done")
    found = result_of(status)
    assert (found.probe, found.scope, found.ended) == ("softirqs", f"node {world.node}", "complete")
    assert found.rows
    assert found.cost.programs
    assert status["startedAt"] <= status["finishedAt"]
    assert world.ended == ["Done"]


def test_a_pod_is_asked_about_and_its_neighbour_is_not_shown(world: World):
    root = hierarchy(HostPaths())
    if not os.access(root, os.W_OK) or not (root / "cgroup.controllers").exists():
        pytest.skip("no cgroup v2 hierarchy to write to")
    ours, theirs = (root / f"numapin-traces-{os.getpid()}-{n}" for n in "ab")
    for one in (ours, theirs):
        one.mkdir()
    loop = "stop = time.monotonic() + 240\n"
    loop += "while time.monotonic() < stop and not os.path.exists({}):"
    end = world.store / "end"
    mine, other = (
        Program.python(cgroup, f"{loop.format(repr(str(end)))} os.{call}")
        for cgroup, call in ((ours, "getppid()"), (theirs, "getpgid(0)"))
    )
    try:
        uid = "0f6d2c1e-aaaa-bbbb-cccc-000000000001"
        world.pods[world.namespace, "redis"] = _pod(world.namespace, "redis", uid)
        world.cgroups[uid] = ours
        workers = [threading.Thread(target=p.work, daemon=True) for p in (mine, other)]
        for worker in workers:
            worker.start()
        world.ask("one", probe="syscalls", podName="redis")
        found = result_of(world.await_phase("one", "Done"))
        assert found.scope == f"pod {world.namespace}/redis"
        called = {row.labels["syscall"] for row in found.rows}
        assert "getppid" in called
        assert "getpgid" not in called
    finally:
        end.touch()
        for worker in workers:
            worker.join()
        for program in (mine, other):
            program.end()
        for one in (ours, theirs):
            until(lambda one=one: not (one / "cgroup.procs").read_text(), what=f"{one} empty")
            one.rmdir()


def _pod(namespace: str, name: str, uid: str) -> PodView:
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": namespace, "uid": uid}}, PodView
    )


def test_deleted_it_is_detached_at_once(world: World):
    world.ask("one", durationSeconds=600)
    world.await_phase("one", "Running")
    programs = until(world.attached, what="programs to be attached", seconds=ANSWER_SECONDS)
    request(world.kube, "DELETE", world.objects.path("one"))
    until(lambda: not world.children(), what="its process to be gone")
    until(lambda: not any(still_there("prog", p) for p in programs), what="its programs to be gone")
    assert not world.ended


def test_what_is_still_to_be_written_of_one_that_is_gone_is_forgotten(world: World):
    """Else it would be tried for ever: the API server knows the trace no more."""

    def refused() -> None:
        raise ApiError("not found")

    world.ask("one", durationSeconds=600)
    world.await_phase("one", "Running")
    uid = world.objects.get("one")["metadata"]["uid"]
    until(lambda: world.publisher.pending() == 0, what="all to be written")
    world.publisher.submit(f"numatrace/{uid}", refused)
    until(lambda: world.errors, what="the write to fail")
    assert world.publisher.pending() == 1
    request(world.kube, "DELETE", world.objects.path("one"))
    until(lambda: world.publisher.pending() == 0, what="the write to be forgotten")


def test_one_at_a_time_in_the_order_of_their_making(world: World):
    world.ask("a")
    world.ask("b")
    first = world.await_phase("a", "Done")
    second = world.await_phase("b", "Done")
    assert first["finishedAt"] <= second["startedAt"]


def test_an_agent_that_ends_leaves_nothing_attached_and_the_next_one_says_so(world: World):
    world.ask("one", durationSeconds=600)
    world.await_phase("one", "Running")
    programs = until(world.attached, what="programs to be attached", seconds=ANSWER_SECONDS)
    world.end()
    assert not world.children()
    until(lambda: not any(still_there("prog", p) for p in programs), what="its programs to be gone")
    world.begin()
    status = world.await_phase("one", "Failed")
    assert status["reason"] == "AgentRestarted"
    assert world.ended == ["Failed"]


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        ({"podName": "nobody"}, "PodNotFound", "no pod"),
        ({"podName": "starting"}, "CgroupUnavailable", "does not run now"),
        (
            {"probe": "function", "function": "no_such_function"},
            "TraceRefused",
            "no_such_function",
        ),
    ],
)
def test_what_can_not_be_answered_is_refused_with_a_reason(world: World, spec, reason, said):
    world.pods[world.namespace, "starting"] = _pod(world.namespace, "starting", "0" * 36)
    world.ask("one", **spec)
    status = world.await_phase("one", "Refused")
    assert status["reason"] == reason
    assert said in status["message"]
    assert "result" not in status


def test_a_node_is_not_told_of_in_a_tenants_namespace(world: World, kube: ApiClient):
    there = f"{world.namespace}-tenant"
    request(kube, "POST", "/api/v1/namespaces", {"metadata": {"name": there}})
    world.objects = Resources(kube, "numatraces", there)
    release, world.namespace = world.namespace, there
    world.ask("one")
    status = world.await_phase("one", "Refused")
    assert status["reason"] == "NodeNotAllowed"
    assert f"from namespace {release} only" in status["message"]
