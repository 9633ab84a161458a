"""Values that the chart refuses, and how it says so."""

import pytest
import yaml
from support.chart import CHART, Helm, settings

from numapin_operator.config import read_policy

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("window", ["9s", "10s", "3600s", "3601s", "60m", "61m"])
def test_window_is_refused_exactly_when_the_operator_would(helm: Helm, window):
    try:
        read_policy(yaml.safe_dump({"verification": {"window": window}}))
    except ValueError:
        taken = False
    else:
        taken = True
    done = helm(
        "template",
        CHART,
        "--kube-version=1.35.4",
        *settings({"defaultPolicy.verification.window": window}),
    )
    assert (done.returncode == 0) == taken
    told = f'defaultPolicy.verification.window: "{window}" is not between 10s and 60m'
    assert taken or told in done.stderr


def test_two_ways_to_be_scraped_at_once_are_refused(helm: Helm):
    both = {"monitoring": {f"{kind}Monitor": {"enabled": True} for kind in ("pod", "service")}}
    done = helm("template", CHART, "--kube-version=1.35.4", *settings(both))
    assert done.returncode != 0
    assert "would count everything twice: choose one" in done.stderr


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("agnet", {}),
        ("agent.imgae", {}),
        ("agent.image.repository", ""),
        ("agent.image.pullPolicy", "Sometimes"),
        ("agent.interval", "0s"),
        ("agent.interval", "61s"),
        ("agent.counters", "no"),
        ("agent.dramCounters", "yes"),
        ("agent.latencyMetrics", ["spike"]),
        ("agent.latencyMetrics", ["timers", "timers"]),
        ("agent.seccompProfile", {"type": "Default"}),
        ("agent.seccompProfile", {"type": "Localhost"}),
        ("agent.seccompProfile.localhostProfile", "profiles/agent.json"),
        ("agent.kubeletDir", "var/lib/kubelet"),
        ("agent.logLevel", "verbose"),
        ("agent.maxUnavailable", "0%"),
        ("agent.maxUnavailable", 0),
        ("agent.tolerations", {"operator": "Exists"}),
        ("operator.replicas", 2),
        ("operator.resources", "1Gi"),
        ("crds.keep", "yes"),
        ("onUninstall", "restore"),
        ("defaultPolicy.mode", "enforce"),
        ("defaultPolicy.memoryHeadroom", "100%"),
        ("defaultPolicy.podSelector", {}),
        ("defaultPolicy.verification.window", "1h"),
        ("defaultPolicy.verification.minLocalPercent", 101),
        ("fullnameOverride", "No_Name"),
        ("agent.hostPaths.kubelet", "var/lib/kubelet"),
        ("agent.hostPaths.proc", "/proc"),
        ("agent.tolerations", [{"operator": "Exist"}]),
        ("agent.resources.limits.memory", "256 MB"),
        ("agent.resources.memory", "256Mi"),
        ("agent.affinity.nodeaffinity", {}),
        ("agent.nodeSelector.pool", 1),
        ("imagePullSecrets", ["registry"]),
        ("monitoring.podMonitor.interval", "15"),
        ("monitoring.enabled", True),
        ("networkPolicy.metricsFrom", [{}]),
        ("networkPolicy.apiServerPorts", []),
        ("networkPolicy.apiServerPorts", ["https"]),
        ("test.timeoutSeconds", 5),
    ],
)
def test_bad_value_is_refused_by_name(any_helm: Helm, path, value):
    done = any_helm("template", CHART, "--kube-version=1.35.4", *settings({path: value}))
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr
    assert path.rpartition(".")[2] in done.stderr


# What null takes away is not there, nor what is new since the values that --reuse-values keeps.
@pytest.mark.parametrize(
    "path",
    [
        "agent.hostPaths",
        "agent.image",
        "agent.interval",
        "agent.restrictToOwnNode",
        "agent.seccompProfile",
        "crds",
        "defaultPolicy",
        "defaultPolicy.verification.window",
        "monitoring",
        "networkPolicy.apiServerPorts",
        "onUninstall",
        "operator.serviceAccount",
        "test",
    ],
)
def test_missing_value_is_refused_by_name(any_helm: Helm, path):
    done = any_helm("template", CHART, "--kube-version=1.35.4", *settings({path: None}))
    assert done.returncode != 0
    assert f"missing property '{path.rpartition('.')[2]}'" in done.stderr


def test_what_may_be_empty_may_be_taken_away(any_helm: Helm):
    names = ("priorityClassName", "nodeSelector", "tolerations", "affinity", "resources")
    gone = {f"{part}.{name}": None for part in ("operator", "agent") for name in names}
    done = any_helm("template", CHART, "--kube-version=1.35.4", *settings(gone))
    assert done.returncode == 0, done.stderr
