"""What the chart renders."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.chart import CHART, EVERYTHING, NAMESPACE, Helm, Object, one, render

from numapin_agent import config as agent_config
from numapin_api.crd import KINDS
from numapin_operator import __main__ as operator_main
from numapin_operator.config import read_policy

pytestmark = pytest.mark.integration

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="module")
def objects(helm: Helm) -> list[Object]:
    """All but those that are there for `helm test` only."""
    return [o for o in render(helm) if o["metadata"]["name"] != "numapin-test"]


@pytest.fixture(scope="module")
def agent(objects) -> Object:
    return one(objects, "DaemonSet")["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def operator(objects) -> Object:
    return one(objects, "Deployment")["spec"]["template"]["spec"]


def test_objects(objects):
    assert sorted(f"{o['kind']}/{o['metadata']['name']}" for o in objects) == [
        "ClusterRole/numapin-agent",
        "ClusterRole/numapin-operator",
        "ClusterRole/numapin-tracer",
        "ClusterRole/numapin-uninstall",
        "ClusterRoleBinding/numapin-agent",
        "ClusterRoleBinding/numapin-operator",
        "ClusterRoleBinding/numapin-uninstall",
        "ConfigMap/numapin-operator",
        "CustomResourceDefinition/numanodes.numapin.io",
        "CustomResourceDefinition/numapins.numapin.io",
        "CustomResourceDefinition/numapolicies.numapin.io",
        "CustomResourceDefinition/numatraces.numapin.io",
        "DaemonSet/numapin-agent",
        "Deployment/numapin-operator",
        "Job/numapin-uninstall",
        "Role/numapin-uninstall",
        "RoleBinding/numapin-uninstall",
        "ServiceAccount/numapin-agent",
        "ServiceAccount/numapin-operator",
        "ServiceAccount/numapin-uninstall",
        "ValidatingAdmissionPolicy/numapin-agent",
        "ValidatingAdmissionPolicyBinding/numapin-agent",
    ]


def test_namespaced_objects_are_in_the_releases_namespace(objects):
    for o in objects:
        namespaced = not o["kind"].startswith(("Cluster", "Custom", "Validating"))
        assert o["metadata"].get("namespace") == (NAMESPACE if namespaced else None)


def test_every_object_says_what_it_is_part_of(objects):
    for o in objects:
        labels = o["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "numapin"
        assert labels["app.kubernetes.io/instance"] == "numapin"
        parts = {"operator", "agent", "crds", "uninstall", "tracer"}
        assert labels["app.kubernetes.io/component"] in parts


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_selector_is_stable_and_matches_the_pods(objects, kind):
    spec = one(objects, kind)["spec"]
    selector = spec["selector"]["matchLabels"]
    assert selector.keys() == {
        f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")
    }
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()


def test_crds_are_the_committed_ones(objects):
    rendered = {
        o["metadata"].pop("name"): o for o in objects if o["kind"] == "CustomResourceDefinition"
    }
    for path in CRDS.glob("*.yaml"):
        committed = yaml.safe_load(path.read_text())
        found = rendered.pop(committed["metadata"]["name"])
        assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert found["spec"] == committed["spec"]
    assert rendered == {}


def test_crds_can_be_left_to_somebody_else(helm: Helm):
    kinds = {o["kind"] for o in render(helm, {"crds.install": False})}
    assert "CustomResourceDefinition" not in kinds


def test_crds_can_go_with_the_release(helm: Helm):
    crds = [o for o in render(helm, {"crds.keep": False}) if o["kind"].startswith("Custom")]
    assert len(crds) == len(KINDS)
    assert all("annotations" not in o["metadata"] for o in crds)


def test_operator_reads_the_default_policy_of_the_values(helm: Helm):
    changed = {"mode": "Observe", "memory": "None", "verification": {"window": "5m"}}
    objects = render(helm, {f"defaultPolicy.{k}": v for k, v in changed.items()})
    (text,) = one(objects, "ConfigMap")["data"].values()
    policy = read_policy(text)
    assert (policy.mode, policy.memory, policy.verification.window) == ("Observe", "None", "5m")
    assert policy.verification.min_local_percent == 95


def test_change_of_the_default_policy_restarts_the_operator(helm: Helm, objects):
    def checksum(found: list[Object]) -> str:
        return one(found, "Deployment")["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]

    assert checksum(render(helm)) == checksum(objects)
    assert checksum(render(helm, {"defaultPolicy.mode": "Observe"})) != checksum(objects)


def test_only_an_operator_that_is_asked_to_may_write_topologies_for_schedulers(helm: Helm, objects):
    def told(found: list[Object]) -> tuple[bool, list[str]]:
        roles = [o for o in found if o["kind"] == "ClusterRole"]
        (container,) = one(found, "Deployment")["spec"]["template"]["spec"]["containers"]
        verbs = [
            verb
            for role in roles
            for rule in role["rules"]
            if "noderesourcetopologies" in rule["resources"]
            for verb in rule["verbs"]
        ]
        return "--publish-topology" in container["args"], verbs

    assert told(objects) == (False, [])
    on = render(helm, {"operator.publishTopology": True})
    assert told(on) == (True, ["get", "list", "create", "patch"])


def flags(pod: Object) -> set[str]:
    return {arg.partition("=")[0] for arg in pod["containers"][0]["args"]}


def test_flags_are_those_of_the_programs(operator, agent):
    assert flags(operator) <= {o for p in operator_main.main.params for o in p.opts}
    assert flags(agent) <= {o for p in agent_config._parse.params for o in p.opts}


def test_agent_starts_from_the_chart_as_it_is(agent, tmp_path: Path):
    args = [a.replace("/host", str(tmp_path)) for a in agent["containers"][0]["args"]]
    (env,) = agent["containers"][0]["env"]
    assert env == {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    found = agent_config.parse([*args, "--node-name=numa-0"])
    assert found.paths.root == tmp_path
    assert found.metrics_port == agent["containers"][0]["ports"][0]["containerPort"]


def test_agent_finds_every_host_path_below_its_root(agent):
    volumes = {v["name"]: v for v in agent["volumes"]}
    mounts = {m["name"]: m for m in agent["containers"][0]["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    shown = {
        volume["hostPath"]["path"]: mounts[name].get("readOnly", False)
        for name, volume in volumes.items()
        if "hostPath" in volume
    }
    for name, volume in volumes.items():
        if "hostPath" in volume:
            assert mounts[name]["mountPath"] == "/host" + volume["hostPath"]["path"]
    assert shown == {
        "/proc": True,
        "/run/dbus": True,
        "/run/numapin": False,
        "/sys/devices/system": True,
        "/sys/fs/cgroup": False,
        "/var/lib/kubelet": True,
    }


def test_agent_is_not_privileged(agent):
    assert agent["hostPID"] is True
    assert "hostNetwork" not in agent
    assert "hostIPC" not in agent
    (container,) = agent["containers"]
    assert container["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {
            "drop": ["ALL"],
            "add": ["BPF", "PERFMON", "SYSLOG", "SYS_PTRACE", "SYS_NICE"],
        },
    }


def test_operator_is_restricted(operator):
    """Pod Security's level "restricted", and a root file system that can't be written."""
    assert operator["securityContext"]["runAsNonRoot"] is True
    assert operator["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = operator["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("hostPath" not in volume for volume in operator["volumes"])


def test_services_of_the_namespace_set_no_flags(operator, agent):
    # Else a Service called numapin-metrics would set NUMAPIN_METRICS_PORT to an URL.
    assert operator["enableServiceLinks"] is False
    assert agent["enableServiceLinks"] is False


def test_one_operator_and_agents_everywhere(objects, agent):
    deployment = one(objects, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert agent["tolerations"] == [{"operator": "Exists"}]
    assert agent["priorityClassName"] == "system-node-critical"
    update = one(objects, "DaemonSet")["spec"]["updateStrategy"]
    assert update["rollingUpdate"] == {"maxUnavailable": "10%"}


def test_a_second_operator_comes_with_what_keeps_it_from_writing(helm: Helm):
    on = render(helm, {"operator.standby": True})
    deployment = one(on, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    # One at a time, so that there is always one.
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    (container,) = deployment["template"]["spec"]["containers"]
    lease = f"{NAMESPACE}/numapin-operator"
    assert {f"--lease={lease}", "--pod-name=$(POD_NAME)"} <= set(container["args"])
    assert flags(deployment["template"]["spec"]) <= {
        o for p in operator_main.main.params for o in p.opts
    }
    policy = one(on, "ValidatingAdmissionPolicy", "numapin-operator")["spec"]
    role = one(on, "ClusterRole", "numapin-operator")
    (topology,) = (
        o
        for o in render(helm, {"operator.standby": True, "operator.publishTopology": True})
        if o["kind"] == "ClusterRole" and o["metadata"]["name"] == "numapin-topology"
    )
    writes = {"create", "update", "patch", "delete"}
    may = {
        (group, resource)
        for rule in (*role["rules"], *topology["rules"])
        if writes & set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    fenced = {
        (group, resource)
        for rule in policy["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    # Whatever else it may write is fenced, but for Events, which decide nothing.
    assert may - fenced == {("", "events")}
    (binding,) = (
        o
        for o in on
        if o["kind"] == "ValidatingAdmissionPolicyBinding"
        and o["metadata"]["name"] == "numapin-operator"
    )
    assert (
        f"{binding['spec']['paramRef']['namespace']}/{binding['spec']['paramRef']['name']}" == lease
    )


def test_a_second_operator_is_refused_where_nothing_would_keep_it_from_writing(
    helm: Helm, tmp_path: Path
):
    done = helm(
        *("template", "numapin", CHART, "--kube-version=1.35.4", "--api-versions=v1/Pod"),
        "--set=operator.standby=true",
    )
    assert done.returncode != 0
    assert "serves no ValidatingAdmissionPolicy" in done.stderr


@pytest.mark.parametrize(
    ("kind", "probes"),
    [
        ("Deployment", {"startup": "/healthz", "liveness": "/healthz", "readiness": "/healthz"}),
        ("DaemonSet", {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}),
    ],
)
def test_probes(objects, kind, probes):
    (container,) = one(objects, kind)["spec"]["template"]["spec"]["containers"]
    ports = [p["name"] for p in container["ports"]]
    for name, path in probes.items():
        asked = container[f"{name}Probe"]["httpGet"]
        assert (asked["path"], asked["port"]) == (path, ports[0])


def contains(tree: Any, value: Any) -> bool:
    if tree == value:
        return True
    below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return any(contains(part, value) for part in below)


def test_every_value_reaches_its_pods(helm: Helm):
    objects = render(helm, EVERYTHING)
    assert one(objects, "Deployment")["metadata"]["name"] == "pins-operator"
    for kind, part in (("Deployment", "operator"), ("DaemonSet", "agent")):
        pod = one(objects, kind)["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        assert container["image"] == f"example.org/team/{part}:v9"
        assert container["imagePullPolicy"] == "Always"
        assert "--log-level=debug" in container["args"]
        assert container["resources"]["limits"] == {"memory": "1Gi"}
        assert pod["metadata"]["annotations"]["a"] == "b"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["spec"]["priorityClassName"] == "important"
        assert pod["spec"]["nodeSelector"]["pool"] == "a"
        assert pod["spec"]["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
        assert pod["spec"]["affinity"] == {"podAntiAffinity": {}}
        account = one(objects, "ServiceAccount", f"pins-{part}")
        assert account["metadata"]["annotations"] == {"c": "d"}
        assert pod["spec"]["serviceAccountName"] == f"pins-{part}"
    daemons = one(objects, "DaemonSet")["spec"]
    assert "--interval=5s" in daemons["template"]["spec"]["containers"][0]["args"]
    assert contains(daemons, "/var/snap/kubelet")
    assert "--no-counters" in daemons["template"]["spec"]["containers"][0]["args"]
    seccomp = daemons["template"]["spec"]["securityContext"]["seccompProfile"]
    assert seccomp == {"type": "RuntimeDefault"}
    assert daemons["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 3


def test_other_host_paths_are_shown_where_the_agent_looks(helm: Helm, agent):
    asked = {"kubelet": "/var/snap/kubelet", "cgroup": "/cgroup", "dbus": "/var/run/dbus"}
    objects = render(helm, {"agent.hostPaths": asked})
    other = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    volumes = {v["name"]: v.get("hostPath", {}).get("path") for v in other["volumes"]}
    assert {name: volumes[name] for name in asked} == asked
    assert other["containers"][0]["volumeMounts"] == agent["containers"][0]["volumeMounts"]


def test_test_may_touch_its_two_pods_only_while_it_runs(helm: Helm):
    objects = [o for o in render(helm) if o["metadata"]["name"] == "numapin-test"]
    assert sorted(o["kind"] for o in objects) == [
        "ClusterRole",
        "ClusterRoleBinding",
        "Pod",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]
    for o in objects:
        annotations = o["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert o["metadata"]["labels"]["app.kubernetes.io/component"] == "test"
        assert ("namespace" in o["metadata"]) != o["kind"].startswith("Cluster")
        assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]
    named = one(objects, "Role")["rules"]
    assert {tuple(r["verbs"]): tuple(r.get("resourceNames", ())) for r in named[:3]} == {
        ("create",): (),
        ("get",): ("numapin-test", "numapin-test-pinned"),
        ("delete",): ("numapin-test-pinned",),
    }
