"""``numapin trace`` through a real API server; the test is the agent and writes its answers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi, RbacAuthorizationV1Api
from support.wait import until

from numapin_agent.trace import histogram
from numapin_agent.trace.result import Result, Row, Stack
from numapin_api import names
from numapin_api.errors import ApiError
from numapin_api.trace import NumaTrace, NumaTraceSpec, pack
from numapin_cli.kube import Cluster
from numapin_cli.output import PIPE_WIDTH
from numapin_cli.tracing.ask import Edge, Patience, Stage, ask
from numapin_cli.tracing.place import Place
from numapin_cli.views import trace as view

pytestmark = pytest.mark.integration

NODE = "trace-0"
AGENT = {"app.kubernetes.io/name": "numapin", "app.kubernetes.io/component": "agent"}
BEGAN = "2026-11-25T12:00:00Z"
RESULT = Result(
    probe="function",
    scope="pod shop/redis-0",
    seconds=2.0,
    weight="calls",
    rows=[Row(labels={"function": "vfs_read"}, histogram=histogram.of([19_300_000, 100]))],
    stacks=[Stack(frames=["redis", "main", "vfs_read"], weight=3)],
)
DONE = {"phase": "Done", "startedAt": BEGAN, "finishedAt": BEGAN, "result": pack(RESULT.wire())}


class Agent:
    """Answers the NumaTraces of one namespace as it is told.

    Args:
        kube: the administrator's client.
        namespace: whose traces.
    """

    def __init__(self, kube: ApiClient, namespace: str) -> None:
        self.api = CustomObjectsApi(kube)
        self.ours = (names.GROUP, names.VERSION, namespace, NumaTrace.PLURAL)
        self.met: list[NumaTrace] = []

    def traces(self) -> list[NumaTrace]:
        found = self.api.list_namespaced_custom_object(*self.ours)["items"]
        return [NumaTrace.read(one) for one in found]

    def meet(self) -> NumaTrace:
        """The trace that is asked for, once there is one."""
        trace = until(self.traces, what="a NumaTrace", seconds=30)[0]
        self.met.append(trace)
        return trace

    def write(self, status: dict[str, Any]) -> None:
        """Answer the trace that was met last."""
        name = self.met[-1].metadata.name
        self.api.patch_namespaced_custom_object_status(*self.ours, name, {"status": status})

    def delete(self) -> None:
        self.api.delete_namespaced_custom_object(*self.ours, self.met[-1].metadata.name)


@pytest.fixture
def agent(kube: ApiClient, namespace: str) -> Agent:
    """A pod that runs, and the agent of its node."""
    core = CoreV1Api(kube)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    for name, labels in (("redis-0", {}), ("agent", AGENT)):
        core.create_namespaced_pod(
            namespace,
            {
                "metadata": {"name": name, "labels": labels},
                "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "none"}]},
            },
        )
        ready = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "conditions": ready}
        core.patch_namespaced_pod_status(name, namespace, {"status": status})
    return Agent(kube, namespace)


@pytest.fixture
def during(agent: Agent) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Do something beside the command, once it has asked; its failure fails the test."""
    failed: list[BaseException] = []
    threads: list[threading.Thread] = []

    def during(act: Callable[[], None]) -> None:
        def run() -> None:
            try:
                agent.meet()
                act()
            except BaseException as error:  # noqa: BLE001 — raised again below
                failed.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield during
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@pytest.fixture
def here(apiserver):
    return ("--kubeconfig", apiserver.kubeconfig)


@pytest.mark.parametrize(
    ("style", "reads"),
    [
        ("table", lambda out: out == view.text(RESULT, PIPE_WIDTH) + "\n"),
        ("json", lambda out: json.loads(out) == RESULT.wire()),
        ("svg", lambda out: ET.fromstring(out).tag.endswith("svg")),
        ("folded", lambda out: out == "redis;main;vfs_read 3\n"),
    ],
)
def test_a_pod(numapin, here, agent, during, *, namespace, style, reads):
    def act() -> None:
        agent.write({"phase": "Running", "startedAt": BEGAN})
        agent.write(DONE)

    during(act)
    question = ("function", "vfs_read", "--stacks", "--duration", "2s")
    run = numapin("trace", *question, "--pod", f"{namespace}/redis-0", *here, "-o", style)
    assert run.status == 0, run.err
    assert reads(run.out)
    assert run.err == (
        f"function of pod {namespace}/redis-0 on {NODE}: takes 2 s, and compiling before that\n"
    )
    assert agent.traces() == []
    (asked,) = agent.met
    assert asked.metadata.name.startswith("trace-")
    assert asked.spec == NumaTraceSpec(
        node_name=NODE,
        pod_name="redis-0",
        probe="function",
        function="vfs_read",
        stacks=True,
        duration_seconds=2,
    )


@pytest.mark.parametrize("said", [True, False])
def test_a_node_is_asked_about_in_the_namespace_of_numapin(
    numapin, here, agent, during, *, namespace, said
):
    during(lambda: agent.write(DONE))
    where = ("--numapin-namespace", namespace) if said else ()
    run = numapin("trace", "timers", "--node", NODE, "--threshold", "5ms", *where, *here)
    assert run.status == 0, run.err
    assert agent.met[0].spec == NumaTraceSpec(
        node_name=NODE, probe="timers", threshold_nanoseconds=5_000_000
    )
    assert agent.traces() == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {"phase": "Refused", "reason": "TraceRefused", "message": "no BTF"},
            f"numapin: the agent on {NODE} refused: no BTF (TraceRefused)",
        ),
        (
            {"phase": "Failed", "reason": "AgentRestarted", "message": "started anew"},
            f"numapin: the agent on {NODE} failed: started anew (AgentRestarted)",
        ),
        ({"phase": "Done"}, "numapin: the agent says that it is done, and gave no answer"),
        ({"phase": "Done", "result": "x"}, "numapin: the answer is not what this version knows"),
    ],
)
def test_no_answer(numapin, here, agent, during, *, namespace, status, said):
    during(lambda: agent.write(status))
    run = numapin("trace", "timers", "--pod", "redis-0", "-n", namespace, *here)
    assert (run.status, run.out) == (1, "")
    assert said in run.err
    assert agent.traces() == []


def test_somebody_deletes_it_meanwhile(numapin, here, agent, during, namespace):
    during(agent.delete)
    run = numapin("trace", "timers", "--pod", f"{namespace}/redis-0", *here)
    assert (run.status, run.out) == (1, "")
    assert f"NumaTrace {namespace}/{agent.met[0].metadata.name} is gone" in run.err
    assert "Traceback" not in run.err
    assert "not deleted" not in run.err


def test_nobody_answers(agent, kube, namespace):
    cluster = Cluster(kube, namespace=namespace, described="the test's")
    told: list[tuple[Stage, float]] = []

    def wait(seconds: float) -> None:
        time.sleep(seconds)

    def progress(stage: Stage, seconds: float) -> None:
        told.append((stage, seconds))
        assert len(agent.traces()) == 1

    with pytest.raises(ApiError, match="has not begun within 1 s"):
        ask(
            cluster,
            Place(NODE, namespace, "redis-0"),
            NumaTraceSpec(node_name=NODE, pod_name="redis-0", probe="timers"),
            edge=Edge(time.monotonic, wait, progress, pytest.fail),
            patience=Patience(interval=0.1, begin=1.0),
        )
    assert {stage for stage, _ in told} == {"asked"}
    assert agent.traces() == []


@pytest.fixture
def command(apiserver, namespace):
    """The command as a process of its own, which ignores no signal as one below nohup would."""

    def command(stderr: int) -> subprocess.Popen[str]:
        arguments = ["trace", "timers", "--pod", f"{namespace}/redis-0", "--duration", "5m"]
        arguments += ["--kubeconfig", str(apiserver.kubeconfig)]
        return subprocess.Popen(
            ["env", "--default-signal", sys.executable, "-m", "numapin_cli.main", *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    return command


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_deletes_it(command, agent, *, number, status, running):
    with command(subprocess.PIPE) as child:
        agent.meet()
        if running:
            agent.write({"phase": "Running", "startedAt": BEGAN})
        child.send_signal(number)
        out, err = child.communicate()
    assert (child.returncode, out) == (status, "")
    assert err.endswith("stopped, without an answer\n")
    assert "Traceback" not in err
    assert agent.traces() == []


def test_a_terminal_shows_what_is_going_on(command, agent):
    master, terminal = os.openpty()
    seen = b""

    def shown(text: str) -> None:
        """Read until it is shown; the test's time limit ends what never is."""
        nonlocal seen
        while text.encode() not in seen:
            seen += os.read(master, 4096)

    try:
        with command(terminal) as child:
            agent.meet()
            shown("timers: waiting for the agent, ")
            agent.write({"phase": "Running", "startedAt": BEGAN})
            shown("timers: compiling, then watching for 300 s; ")
            agent.write(DONE)
            assert child.communicate() == (view.text(RESULT, PIPE_WIDTH) + "\n", None)
        assert os.read(master, 4096).endswith(b"\r\x1b[K"), "the line is given back"
    finally:
        os.close(master)
        os.close(terminal)


TENANT = "tenant"
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
TRACE = {
    "apiGroups": [names.GROUP],
    "resources": ["numatraces"],
    "verbs": ["create", "get", "delete"],
}


@pytest.fixture
def tenant(apiserver, kube, namespace, tmp_path):
    """A kubeconfig of somebody with these rights in the namespace, and none elsewhere."""
    core, rbac = CoreV1Api(kube), RbacAuthorizationV1Api(kube)

    def tenant(*rules: dict[str, Any]) -> tuple[object, ...]:
        core.create_namespaced_service_account(namespace, {"metadata": {"name": TENANT}})
        rbac.create_namespaced_role(namespace, {"metadata": {"name": TENANT}, "rules": list(rules)})
        account = {"kind": "ServiceAccount", "name": TENANT, "namespace": namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": TENANT}
        rbac.create_namespaced_role_binding(
            namespace, {"metadata": {"name": TENANT}, "roleRef": role, "subjects": [account]}
        )
        token = core.create_namespaced_service_account_token(
            TENANT, namespace, {"spec": {"audiences": []}}
        ).status.token
        config = yaml.safe_load(apiserver.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / "tenant"
        path.write_text(yaml.safe_dump(config))
        return ("--kubeconfig", path)

    return tenant


def test_a_tenant_traces_a_pod_of_its_own_without_seeing_agents(
    numapin, tenant, agent, during, namespace
):
    during(lambda: agent.write(DONE))
    theirs = tenant(READ_PODS, TRACE)
    run = numapin("trace", "syscalls", "--pod", f"{namespace}/redis-0", *theirs)
    assert (run.status, run.out) == (0, view.text(RESULT, PIPE_WIDTH) + "\n"), run.err
    assert agent.traces() == []


@pytest.mark.parametrize(
    ("rules", "missing"),
    [((), 'get resource "pods"'), ((READ_PODS,), 'create resource "numatraces"')],
)
def test_who_lacks_a_right_is_told_which_and_how_it_is_given(
    numapin, tenant, agent, *, namespace, rules, missing
):
    run = numapin("trace", "timers", "--pod", f"{namespace}/redis-0", *tenant(*rules))
    assert (run.status, run.out) == (1, "")
    assert f"cannot {missing}" in run.err
    assert (
        "kubectl create rolebinding NAME --clusterrole=numapin-tracer "
        f"--user=system:serviceaccount:{namespace}:{TENANT} -n {namespace}"
    ) in run.err
    assert agent.traces() == []


@pytest.mark.usefixtures("agent")
def test_a_tenant_that_may_not_look_for_numapin_is_told_what_to_say(numapin, tenant, namespace):
    theirs = tenant(READ_PODS, TRACE)
    run = numapin("trace", "timers", "--node", NODE, *theirs)
    assert (run.status, run.out) == (1, "")
    assert "name it with --numapin-namespace" in run.err


def test_no_such_pod(numapin, here, namespace):
    run = numapin("trace", "timers", "--pod", f"{namespace}/nobody", *here)
    assert (run.status, run.out) == (1, "")
    assert f"there is no pod nobody in namespace {namespace}" in run.err


def test_a_pod_on_a_node_without_an_agent(numapin, here, agent, kube, namespace):
    CoreV1Api(kube).delete_namespaced_pod("agent", namespace, grace_period_seconds=0)
    run = numapin("trace", "timers", "--pod", f"{namespace}/redis-0", *here)
    assert (run.status, run.out) == (1, "")
    assert "no agent of numapin is found (pods labelled app.kubernetes.io/name=numapin," in run.err
    assert agent.traces() == []


@pytest.mark.usefixtures("agent")
def test_a_namespace_that_is_not_there(numapin, here):
    run = numapin("trace", "timers", "--node", NODE, "--numapin-namespace", "nowhere", *here)
    assert (run.status, run.out) == (1, "")
    assert "no agent of numapin is found" in run.err
