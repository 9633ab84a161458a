"""A cluster's checks: tables of facts."""

from dataclasses import replace

import pytest

from numapin_api.crd import KINDS, crd
from numapin_cli.doctor import tools
from numapin_cli.doctor.cluster import agent_pods, crd_state, foreign
from numapin_cli.doctor.cluster_checks import examine
from numapin_cli.doctor.cluster_facts import ClusterFacts, Workload
from numapin_cli.doctor.findings import LEVELS, some, worst
from numapin_cli.doctor.kubelet import KubeletFacts
from numapin_cli.doctor.versions import skew

CRDS = {kind.name: "current" for kind in KINDS}
NUMAPIN = "numapin-system/numapin"


def not_ready(reason="TopologyUnreadable", message="node1/cpulist"):
    return [
        {
            "type": "Ready",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": "2026-11-23T11:00:00Z",
        }
    ]


def degraded(reason, message):
    return [c | {"type": "Degraded", "status": "True"} for c in not_ready(reason, message)]


@pytest.fixture
def good(now, pin, numa_node):
    """A cluster that lacks nothing."""
    whole = [
        {"name": "numaMigrations", "level": "fentry"},
        {"name": "scannerSkips", "level": "none", "reason": "no such tracepoint"},
    ]
    node = numa_node(status={"capabilities": {"signals": whole}})
    return ClusterFacts(
        now=now,
        client_version="0.1.0",
        server_version="v1.35.4",
        crds=CRDS,
        operators=[Workload(name=f"{NUMAPIN}-operator", version="0.1.0", wanted=1, ready=1)],
        agents=[Workload(name=f"{NUMAPIN}-agent", version="0.1.0", wanted=1, ready=1)],
        agent_pods={"numa-0": True},
        nodes=["numa-0"],
        numa_nodes=[node],
        pins=[pin()],
        pods=[],
        tools={},
        kubelets={"numa-0": KubeletFacts(cpu_manager="none")},
    )


def test_a_good_cluster_has_no_remedy(good):
    found = examine(good)
    assert {f.level for f in found} == {"ok"}, found
    assert [f.check for f in found] == [
        "api",
        "access",
        "crds",
        "operator",
        "agents",
        "versions",
        "nodes",
        "conditions",
        "sockets",
        "numaBalancing",
        "counters",
        "cgroup",
        "cpuManager",
        "otherTools",
        "pins",
    ]


@pytest.mark.parametrize(
    ("change", "check", "level", "said", "remedy"),
    [
        ({"server_version": "v1.31.9"}, "api", "fail", "older than 1.32", "upgrade the cluster"),
        ({"server_version": "v1.37.0-rc.1+k3s1"}, "api", "ok", "v1.37.0-rc.1+k3s1", ""),
        ({"denied": ("list pods",)}, "access", "warn", "may not list pods", "ClusterRole"),
        (
            {"crds": CRDS | {"numapins.numapin.io": "differs"}},
            "crds",
            "warn",
            "numapins",
            "upgrade",
        ),
        ({"crds": dict.fromkeys(CRDS, "unknown")}, "crds", "unknown", "schemas", "ask somebody"),
        ({"operators": []}, "operator", "fail", "no Deployment", "helm upgrade"),
        (
            {"operators": None},
            "operator",
            "unknown",
            "Deployments could not be listed",
            "ask somebody",
        ),
        ({"agents": []}, "agents", "fail", "no DaemonSet", "helm upgrade"),
        ({"agents": None}, "agents", "unknown", "DaemonSets could not be listed", "ask somebody"),
        ({"client_version": "0.2.0"}, "versions", "warn", "command line 0.2.0", "left behind"),
        ({"client_version": "0.3.0"}, "versions", "fail", "more than one minor", "upgrade"),
        ({"nodes": None}, "nodes", "unknown", "nodes and NumaNodes could not", "ask somebody"),
        ({"nodes": ["numa-0", "bare"]}, "nodes", "warn", "no agent runs on bare", "nodeSelector"),
        ({"agent_pods": {"numa-0": False}}, "nodes", "fail", "no ready agent on numa-0", "log"),
        ({"agent_pods": {}}, "nodes", "fail", "no ready agent on numa-0", "log"),
        ({"kubelets": None}, "cpuManager", "unknown", "nodes/proxy", "--node"),
        (
            {"kubelets": {"n": KubeletFacts(cpu_manager="static")}},
            "cpuManager",
            "warn",
            "static on n",
            "Conflict",
        ),
        ({"tools": {"k/b": "Koordinator"}}, "otherTools", "warn", "Koordinator (k/b)", "one tool"),
        ({"tools": None}, "otherTools", "unknown", "DaemonSets", "ask somebody"),
        ({"pins": None}, "pins", "unknown", "NumaPins", "ask somebody"),
        ({"pins": []}, "pins", "ok", "no pod has a pin", ""),
        ({"pods": None}, "pods", "unknown", "pods of all namespaces", "ask somebody"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(good, *, change, check, level, said, remedy):
    found = {f.check: f for f in examine(replace(good, **change))}
    assert found[check].level == level
    assert said in found[check].message
    assert remedy in found[check].remedy
    assert bool(found[check].remedy) == (level != "ok")
    assert {f.level for name, f in found.items() if name != check} == {"ok"}


def test_no_pods_to_be_seen_is_no_proof_that_agents_are_ready(good):
    found = {f.check: f for f in examine(replace(good, agent_pods=None))}
    assert found["nodes"].message == "an agent has reported from each of 1 nodes"
    found = {f.check: f for f in examine(replace(good, agent_pods=None, nodes=["a"]))}
    assert found["nodes"].message.startswith("no agent has reported from a")


def test_objects_of_another_version_are_named(good):
    facts = replace(good, pins=None, unreadable=("NumaPin x is not what this version knows",))
    found = [f for f in examine(facts) if f.level == "fail"]
    assert [(f.check, f.message) for f in found] == [("versions", facts.unreadable[0])]
    assert "command line of the cluster's version" in found[0].remedy


def test_without_an_answer_nothing_else_is_asked(now):
    (found,) = examine(ClusterFacts(now=now, client_version="0.1.0", problem="no route"))
    assert (found.check, found.level, found.message) == ("api", "fail", "no route")


def test_without_crds_the_rest_is_left_out(good):
    found = examine(replace(good, crds=dict.fromkeys(CRDS, "missing")))
    assert [(f.check, f.level) for f in found] == [
        ("api", "ok"),
        ("access", "ok"),
        ("crds", "fail"),
    ]
    assert "helm upgrade --install" in found[-1].remedy


@pytest.mark.parametrize(
    ("ready", "said"), [(0, "has no available pod"), (1, "2 operators (")], ids=["down", "two"]
)
def test_an_operator_that_is_down_and_two_of_them(good, ready, said):
    one = Workload(name="a/operator", version="0.1.0", wanted=1, ready=ready)
    operators = [one] if not ready else [one, replace(one, name="b/operator")]
    found = {f.check: f for f in examine(replace(good, operators=operators))}["operator"]
    assert found.level == "fail"
    assert said in found.message


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"conditions": not_ready()}, "fail", "numa-0 not ready (TopologyUnreadable): node1"),
        (
            {"conditions": not_ready("Unsupported", "cgroup v1"), "topology": {"sockets": []}},
            "fail",
            "not ready (Unsupported)",
        ),
        (
            {"conditions": degraded("TracerDead", "stuck")},
            "warn",
            "degraded (TracerDead): stuck",
        ),
    ],
)
def test_conditions_of_nodes(good, numa_node, change, level, said):
    facts = replace(good, numa_nodes=[numa_node(status=change)])
    found = {f.check: f for f in examine(facts)}["conditions"]
    assert (found.level, found.subject) == (level, "numa-0")
    assert said in found.message
    assert "troubleshoot" in found.remedy


def test_neighbours_that_agents_know(good, numa_node):
    koordlet = {"name": "koordlet", "standDown": True, "message": "a koordlet runs here"}
    static = {"name": "kubelet-static-cpu-manager", "standDown": False, "message": "none yet"}
    one = numa_node(status={"neighbours": [koordlet, static]})
    other = numa_node(metadata={"name": "numa-1"}, status={"neighbours": [koordlet]})
    facts = replace(good, numa_nodes=[one, other], nodes=["numa-0", "numa-1"])
    found = [f for f in examine(facts) if f.check == "neighbours"]
    assert [(f.level, f.message, f.subject) for f in found] == [
        ("warn", "koordlet: a koordlet runs here", "numa-0, numa-1"),
        ("ok", "kubelet-static-cpu-manager: none yet", "numa-0"),
    ]
    assert "pins nothing" in found[0].remedy


def test_nodes_where_the_kubelet_can_not_be_asked(good, numa_node):
    blind = numa_node(status={"capabilities": {"devicesUnknown": "there is no kubelet.sock"}})
    (finding,) = [f for f in examine(replace(good, numa_nodes=[blind])) if f.check == "devices"]
    assert (finding.level, finding.subject) == ("warn", "numa-0")
    assert "there is no kubelet.sock" in finding.message
    assert "agent.hostPaths.kubelet" in finding.remedy


def test_a_node_of_one_socket_that_is_not_ready_is_no_failure(good, numa_node):
    one = {"sockets": [{"id": 0, "cpus": "0-3", "nodes": [0]}], "nodes": [], "distances": []}
    node = numa_node(status={"topology": one, "conditions": not_ready()})
    facts = replace(good, numa_nodes=[node], agent_pods={"numa-0": False})
    found = {f.check: f.level for f in examine(facts)}
    assert (found["nodes"], found["conditions"], found["sockets"]) == ("warn", "warn", "warn")


@pytest.mark.parametrize(
    ("change", "check"),
    [({"numaBalancing": False}, "numaBalancing"), ({}, "counters")],
    ids=["balancing off", "a signal missing"],
)
def test_what_nodes_can_do(good, numa_node, change, check):
    node = numa_node(status={"capabilities": change}) if change else numa_node()
    found = {f.check: f for f in examine(replace(good, numa_nodes=[node]))}[check]
    assert (found.level, found.subject) == ("warn", "numa-0")


def test_a_node_with_cgroup_v1_is_no_ok(good, numa_node):
    old = numa_node(status={"capabilities": {"cgroupVersion": 1, "cgroupDriver": "unknown"}})
    found = {f.check: f for f in examine(replace(good, numa_nodes=[old]))}["cgroup"]
    assert (found.level, found.subject) == ("fail", "numa-0")
    assert "v1 unknown" in found.message
    assert "unified_cgroup_hierarchy" in found.remedy


@pytest.mark.parametrize(
    ("verdict", "level"),
    [
        ("Verified", "ok"),
        ("Observing", "ok"),
        ("Ineffective", "fail"),
        ("Drifted", "fail"),
        ("Conflict", "fail"),
        ("Unplaceable", "fail"),
        ("Invalid", "fail"),
        ("NoSignal", "warn"),
        ("Pending", "warn"),
    ],
)
def test_every_verdict_has_its_level(good, pin, now, verdict, level):
    # An hour later, so that Pending is overdue.
    later = now.replace(hour=now.hour + 1)
    facts = replace(good, pins=[pin(status={"verdict": verdict})], now=later)
    found = {f.check: f for f in examine(facts)}["pins"]
    assert found.level == level
    assert verdict in found.message
    if level != "ok":
        assert found.remedy == "numapin explain redis-0 -n shop"


def test_a_young_pending_pin_is_no_trouble(good, pin):
    facts = replace(good, pins=[pin(status={"verdict": "Pending"})])
    assert {f.check: f.level for f in examine(facts)}["pins"] == "ok"


def labelled(name: str, **change):
    meta = {"name": name, "namespace": "shop", "creationTimestamp": "2026-11-23T11:00:00Z"}
    return {
        "metadata": meta | change.pop("metadata", {}),
        "spec": {"nodeName": "numa-0"} | change.pop("spec", {}),
        "status": {"phase": "Running"} | change.pop("status", {}),
    }


@pytest.mark.parametrize(
    ("pod", "told"),
    [
        (labelled("redis-1"), True),
        (labelled("redis-0"), False),
        (labelled("new", metadata={"creationTimestamp": "2026-11-23T11:59:00Z"}), False),
        (labelled("gone", metadata={"deletionTimestamp": "2026-11-23T11:59:00Z"}), False),
        (labelled("done", status={"phase": "Succeeded"}), False),
        (labelled("nowhere", spec={"nodeName": None}), False),
    ],
)
def test_pods_that_wait_for_a_pin_in_vain(good, pod, told):
    found = [f for f in examine(replace(good, pods=[pod])) if f.check == "pods"]
    assert [f.level for f in found] == (["fail"] if told else [])
    assert not told or found[0].remedy == "numapin explain redis-1 -n shop"


def test_thousands_of_names_are_one_line(good):
    nodes = [f"n{i}" for i in range(5000)]
    (found,) = [f for f in examine(replace(good, nodes=nodes)) if f.check == "nodes"]
    assert "n0, n1, n2, n3, n4 and 4995 more" in found.message


@pytest.mark.parametrize(
    ("versions", "wanted"),
    [
        ((), "same"),
        (("0.1.0",), "same"),
        (("0.1.0", "0.1.1"), "near"),
        (("0.1.0", "0.2.0"), "near"),
        (("0.1.0", "0.2.0", "0.3.0"), "far"),
        (("0.9.0", "1.0.0"), "far"),
        (("main", "lab"), "near"),
        (("main", "0.1.0"), "near"),
    ],
)
def test_skew(versions, wanted):
    assert skew(versions) == wanted


def test_levels_rise_and_names_are_cut():
    assert LEVELS == ("ok", "unknown", "warn", "fail")
    assert worst([]) == "ok"
    assert some(["a", "b"]) == "a, b"


@pytest.mark.parametrize(
    ("name", "images", "tool"),
    [
        ("nri-resource-policy-balloons", (), "nri-plugins balloons"),
        ("my-release-nri-resource-policy-topology-aware", (), "nri-plugins topology-aware"),
        ("pinner", ("registry.example.com:5000/x/koordlet:v1.6",), "Koordinator"),
        ("pinner", ("example.com/dracpu@sha256:00",), "dra-driver-cpu"),
        ("numapin-agent", ("numapin/numapin-agent:0.1.0",), None),
        ("node-exporter", ("prom/node-exporter",), None),
    ],
)
def test_other_tools_by_daemonset(name, images, tool):
    template = {"spec": {"containers": [{"image": i} for i in images]}}
    daemonset = {"metadata": {"name": name, "namespace": "k"}, "spec": {"template": template}}
    assert foreign([daemonset]) == ({f"k/{name}": tool} if tool else {})
    assert tools.workload(name, images) == tool


def test_agents_pods_by_node():
    def pod(node, ready):
        return {
            "metadata": {"name": "x"},
            "spec": {"nodeName": node},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }

    pods = [pod("a", "True"), pod("a", "False"), pod("b", "False"), pod(None, "False")]
    assert agent_pods(pods) == {"a": True, "b": False}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_crds_compare(kind):
    wanted = crd(kind)
    changed = crd(kind)
    version = changed["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"].pop("status")
    assert crd_state(wanted, crd(kind)) == "current"
    assert crd_state(wanted, changed) == "differs"
    assert crd_state(wanted, None) == "missing"
