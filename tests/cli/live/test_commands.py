"""numapin top and advise as commands: what they ask, print and say on failure."""

import json
import os
import pty
import select
import signal
import subprocess
import sys

import pytest
import yaml

from numapin_cli.commands import advise, top
from numapin_cli.kube import AGENT_SELECTOR

AGENTS = f"/api/v1/pods {AGENT_SELECTOR}"
NUMA_NODES = "/apis/numapin.io/v1alpha1/numanodes"
PINS = "/apis/numapin.io/v1alpha1/numapins"


def page(pages: int, *, pod: str = "redis-0", namespace: str = "shop") -> str:
    """An agent's page: a pod that has moved so many pages, a tenth of a millisecond each."""
    key = f'namespace="{namespace}",pod="{pod}"'
    return f"""\
# TYPE numapin_pod_numa_migrated_pages_total counter
numapin_pod_numa_migrated_pages_total{{{key}}} {pages}
# TYPE numapin_pod_cross_socket_numa_migrated_pages_total counter
numapin_pod_cross_socket_numa_migrated_pages_total{{{key}}} {pages}
# TYPE numapin_pod_numa_migration_seconds_total counter
numapin_pod_numa_migration_seconds_total{{{key}}} {pages / 10000}
# TYPE numapin_pod_memory_resident_bytes gauge
numapin_pod_memory_resident_bytes{{{key},numa_node="0"}} 1048576
# TYPE numapin_agent_tracer_alive gauge
numapin_agent_tracer_alive 1
"""


def pod(name: str, namespace: str, node: str, **labels: str) -> dict:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": name,
            "labels": labels,
            "creationTimestamp": "2026-11-25T08:00:00Z",
        },
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    }


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """No waiting: the next page has moved on already."""
    monkeypatch.setattr(top, "_sleep", lambda _: False)
    monkeypatch.setattr(advise.time, "sleep", lambda _: None)


@pytest.fixture
def cluster(api, numa_node):
    """Two nodes with agents; on each a pod of its own namespace that migrates."""
    api.lists[AGENTS] = [pod(f"agent-{n}", "numapin-system", f"numa-{n}") for n in "01"]
    api.lists[NUMA_NODES] = [
        numa_node(metadata={"name": f"numa-{n}"}).model_dump(mode="json", by_alias=True)
        for n in "01"
    ]
    api.lists[PINS] = []
    api.lists["/api/v1/pods"] = [pod("redis-0", "shop", "numa-0"), pod("front-0", "web", "numa-1")]
    api.lists["/api/v1/pods numapin.io/pin=true"] = []
    for node in "01":
        api.lists[f"/api/v1/pods spec.nodeName=numa-{node}"] = [
            api.lists["/api/v1/pods"][int(node)]
        ]
    api.lists["/api/v1/namespaces/shop/pods"] = api.lists["/api/v1/pods"][:1]
    api.pages = {
        "agent-0": [page(1000 * i) for i in range(1, 9)],
        "agent-1": [page(i, pod="front-0", namespace="web") for i in range(1, 9)],
    }
    return api


def scrapes(api) -> list[str]:
    return [a for a in api.asked if "/proxy/" in a]


def test_top_once(numapin, cluster, here):
    run = numapin("top", "--once", "-o", "json", *here)
    assert (run.status, run.err) == (0, "")
    data = json.loads(run.out)
    assert [(p["namespace"], p["name"], p["node"]) for p in data["pods"]] == [
        ("shop", "redis-0", "numa-0"),
        ("web", "front-0", "numa-1"),
    ]
    first = data["pods"][0]
    assert first["migratedPagesPerSecond"] * first["seconds"] == pytest.approx(1000, rel=0.01)
    assert (data["problems"], data["remarks"]) == ([], [])
    where = "/api/v1/namespaces/numapin-system/pods"
    assert sorted(scrapes(cluster)) == [f"{where}/agent-{n}:9465/proxy/metrics" for n in "0011"]


def test_top_asks_only_the_nodes_that_are_meant(numapin, cluster, here):
    numapin("top", "--node", "numa-1", *here)
    assert all("agent-1" in s for s in scrapes(cluster))
    cluster.asked.clear()
    run = numapin("top", "-n", "shop", *here)
    assert all("agent-0" in s for s in scrapes(cluster))
    assert "NAMESPACE" not in run.out
    assert "redis-0" in run.out


def test_top_in_any_order(numapin, cluster, here):
    def names(*arguments: str) -> list[str]:
        run = numapin("top", "-o", "json", *arguments, *here)
        return [p["name"] for p in json.loads(run.out)["pods"]]

    assert names("--sort", "cross") == ["redis-0", "front-0"]
    assert names("--sort", "cross", "-r") == ["front-0", "redis-0"]
    assert names("--sort", "name") == ["redis-0", "front-0"]


def test_top_as_many_times_as_was_said(numapin, cluster, here):
    run = numapin("top", "--count", "3", "-o", "yaml", *here)
    found = list(yaml.safe_load_all(run.out))
    assert [len(f["pods"]) for f in found] == [2, 2, 2]
    assert len(scrapes(cluster)) == 8
    run = numapin("top", "--count", "2", "-o", "json", *here)
    decoder, rest, seen = json.JSONDecoder(), run.out.strip(), 0
    while rest:
        _, end = decoder.raw_decode(rest)
        rest, seen = rest[end:].strip(), seen + 1
    assert seen == 2
    run = numapin("top", "--count", "2", *here)
    assert run.out.count("NAMESPACE") == 2


def test_top_table_has_no_colours_in_a_pipe(numapin, cluster, here):
    run = numapin("top", *here)
    assert (run.status, run.err) == (0, "")
    assert "\x1b" not in run.out
    assert "redis-0" in run.out


def test_top_by_pair(numapin, cluster, here):
    run = numapin("top", "--by", "pair", *here)
    assert "between sockets" in run.out


@pytest.mark.parametrize("command", ["top", "advise"])
@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (
            (503, "error trying to reach service: dial tcp: refused"),
            "kubectl logs agent-0 -n numapin",
        ),
        ((403, 'pods "agent-0" is forbidden'), "the right to get pods/proxy, or to get and create"),
        ((404, "pods not found"), "ask again"),
    ],
)
def test_a_node_that_fails_is_named_and_the_others_are_shown(
    numapin, cluster, here, *, command, refuse, said
):
    cluster.refuse["/pods/agent-0"] = refuse
    run = numapin(command, "-o", "json", *here)
    data = json.loads(run.out)
    assert run.status == 1
    assert [p["name"] for p in data["pods"]] == ["front-0"]
    assert [p["node"] for p in data["problems"]] == ["numa-0"]
    assert said in data["problems"][0]["message"]
    assert run.err.startswith("numa-0: ")
    table = numapin(command, "--all" if command == "advise" else "--once", *here)
    assert "numa-0: " in table.out
    assert "front-0" in table.out


def test_a_node_that_comes_back_is_shown_again(numapin, cluster, here, monkeypatch):
    cluster.refuse["/pods/agent-0"] = (503, "starting")
    monkeypatch.setattr(top, "_sleep", lambda _: bool(cluster.refuse.clear()))
    run = numapin("top", "--count", "2", "-o", "yaml", *here)
    first, last = yaml.safe_load_all(run.out)
    assert run.status == 0
    assert (first["problems"], last["problems"]) == ([], [])
    assert "asked for the first time" in first["remarks"][0]["message"]
    assert {p["name"]: p["seconds"] is None for p in last["pods"]} == {
        "redis-0": False,
        "front-0": False,
    }


@pytest.mark.parametrize("refuse", [(503, "no route to host"), (403, "pods/proxy is forbidden")])
def test_port_forward_where_the_proxy_is_shut(numapin, cluster, here, refuse):
    cluster.refuse["/proxy/"] = refuse
    run = numapin("top", "--count", "3", "-o", "yaml", *here)
    assert (run.status, run.err) == (0, "")
    for found in yaml.safe_load_all(run.out):
        rates = [p["migratedPagesPerSecond"] * p["seconds"] for p in found["pods"]]
        assert rates == [pytest.approx(1000, rel=0.01), pytest.approx(1, rel=0.01)]
    # Both may have tried the proxy before either knew; from then on nobody does.
    assert len(scrapes(cluster)) <= 2
    assert sum("/portforward" in a for a in cluster.asked) == 8


def test_both_ways_shut_are_both_named(numapin, cluster, here):
    cluster.refuse["/proxy/"] = (503, "no route to host")
    cluster.pages["agent-0"] = [""]
    run = numapin("top", "-o", "json", *here)
    message = json.loads(run.out)["problems"][0]["message"]
    assert run.status == 1
    assert "no route to host" in message
    assert "port-forward to numapin-system/agent-0, port 9465: nobody listens there" in message


@pytest.mark.parametrize("command", ["top", "advise"])
def test_no_agents_at_all(numapin, cluster, here, command):
    cluster.lists[AGENTS] = []
    cluster.lists["/apis/numapin.io/v1alpha1"] = []
    run = numapin(command, *here)
    assert (run.status, run.out) == (1, "")
    assert "no agent of numapin runs in this cluster" in run.err
    del cluster.lists["/apis/numapin.io/v1alpha1"]
    assert "numapin is not installed" in numapin(command, *here).err


def test_a_user_who_may_not_see_nodes_sees_pods_all_the_same(numapin, cluster, here):
    cluster.refuse["/numanodes"] = (403, "forbidden")
    run = numapin("top", "-o", "json", *here)
    assert run.status == 0
    assert "pairs of sockets are not told apart: not allowed" in run.err
    assert len(json.loads(run.out)["pods"]) == 2
    cluster.refuse["/numapins"] = (403, "forbidden")
    run = numapin("advise", "-o", "json", *here)
    assert "how large sockets are is not known: not allowed" in run.err
    assert "what is pinned already is not known" in run.err
    assert json.loads(run.out)["pods"][0]["advice"] == "Consider"


def test_advise(numapin, cluster, here):
    run = numapin("advise", *here)
    assert (run.status, run.err) == (0, "")
    assert "kubectl label pod redis-0 -n shop --overwrite numapin.io/pin=true\n" in run.out
    assert len(scrapes(cluster)) == 4
    run = numapin("advise", "-o", "json", "--node", "numa-0", *here)
    assert [(p["name"], p["advice"]) for p in json.loads(run.out)["pods"]] == [("redis-0", "Pin")]
    assert "/api/v1/pods spec.nodeName=numa-0" in cluster.asked
    assert yaml.safe_load(numapin("advise", "-n", "shop", "-o", "yaml", *here).out)["labelled"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("top", "--once", "--count", "2"), "--once and --count 2 contradict each other"),
        (("top", "--sort", "x"), "'x' is not one of 'time', 'cross'"),
        (("top", "-d", "0.5"), "0.5 is not in the range 1.0<=x<=3600"),
        (("top", "--count", "0"), "0 is not in the range"),
        (("advise", "--window", "soon"), "'soon' is not like 30s or 5m"),
        (("advise", "--window", "2s"), "'2s' is not between 5s and 60m"),
        (("advise", "--window", "61m"), "'61m' is not between 5s and 60m"),
    ],
)
def test_wrong_usage(numapin, arguments, said):
    run = numapin(*arguments)
    assert (run.status, run.out) == (2, "")
    assert said in " ".join(run.err.split())


@pytest.mark.parametrize("command", ["top", "advise"])
def test_help_is_whole(numapin, command):
    run = numapin(command, "--help", argv0="kubectl-numapin")
    assert run.status == 0
    assert f"kubectl numapin {command} " in run.out
    assert all(len(line) <= 100 for line in run.out.splitlines())
    for word in ("Exit status 1", "pods/proxy", "Examples", "--all-nodes"):
        assert word in run.out


class Terminal:
    """The real program on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self._seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "numapin_cli.main", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TERM": "xterm",
                "COLUMNS": "100",
                "LINES": "20",
            },
        )
        os.close(slave)

    def until(self, word: str) -> str:
        """Everything that was drawn up to that word."""
        while word not in self._seen:
            ready, _, _ = select.select([self.master], [], [], 30)
            assert ready, f"no {word!r} in {self._seen!r}"
            self._seen += os.read(self.master, 65536).decode()
        before, _, self._seen = self._seen.partition(word)
        return before

    def press(self, key: str) -> None:
        os.write(self.master, key.encode())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    made: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        made.append(Terminal(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.end()


def test_top_live(cluster, here, terminal):
    screen = terminal("top", "-d", "1", *here)
    screen.until("by time")
    screen.until("redis-0")
    screen.press(">")
    screen.until("by cross")
    screen.press("\x1b[D")
    screen.until("by time")
    screen.press("p")
    screen.until("between sockets")
    screen.press("q")
    screen.until("\x1b[?1049l")  # back from the alternate screen
    assert screen.process.wait(20) == 0


def test_top_live_ends_by_ctrl_c_as_it_does_by_q(cluster, here, terminal):
    screen = terminal("top", *here)
    screen.until("reading the counters")
    # what the terminal makes of it
    screen.process.send_signal(signal.SIGINT)
    screen.until("\x1b[?1049l")
    assert screen.process.wait(20) == 0
