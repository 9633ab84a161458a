"""Requests as the scheduler counts them (component-helpers/resource/helpers.go)."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from numapin_operator.requests import (
    MAX_QUANTITY,
    Requests,
    cpu_limit,
    effective,
    quantity,
    wants_devices,
    wants_exclusive_cpus,
)

MIB = 1 << 20
SUFFIXES = (
    {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000)}
    | {suffix: 1000**n for n, suffix in enumerate("kMGTPE", start=1)}
    | {f"{suffix}i": 1024**n for n, suffix in enumerate("KMGTPE", start=1)}
)


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("100m", 100),
        ("1", 1000),
        (1, 1000),
        (0.5, 500),
        (0.1, 100),  # not the 0.1000000000000000055… that a float really is
        ("1.5", 1500),
        ("1e3", 1_000_000),
        ("1k", 1_000_000),
        ("0.1m", 1),  # MilliValue rounds up
        ("1n", 1),
        ("100u", 1),
        ("2500000n", 3),
        ("0", 0),
        ("2.", 2000),
        (".5", 500),
        (" 1 ", 1000),  # UnmarshalJSON trims
        ("-500m", -500),
    ],
)
def test_cpu_in_millicores(text: Any, millis: int):
    assert quantity(text, scale=1000) == millis


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1Ki", 1024),
        ("1.5Gi", 1_610_612_736),
        ("128974848", 128_974_848),
        ("129e6", 129_000_000),
        ("1E+3", 1000),
        ("15e-1", 2),
        ("1Pi", 2**50),
        ("129M", 129_000_000),
        ("1E", 10**18),
        ("7Ei", 7 * 2**60),
        ("9Ei", MAX_QUANTITY),
        ("1500m", 2),  # Value rounds up
        ("+5", 5),
    ],
)
def test_memory_in_bytes(text: str, amount: int):
    assert quantity(text) == amount


NO_QUANTITIES = ["", "abc", "1Q", "1mi", "NaN", "Infinity", "--1", "1 Gi", "1_0Gi", "\u0661", "1K"]
NO_QUANTITIES += ["1ki", "1i", ".", "-", "Gi", "1.1.M", "-3.01e-", "1e3Ki", "1e", "1\n2", "0x10"]


@pytest.mark.parametrize(
    "value", [*NO_QUANTITIES, True, False, None, ["1"], {"a": 1}, b"1", float("inf"), float("nan")]
)
def test_what_is_no_quantity(value: object):
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(value)


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", *SUFFIXES]))
def test_every_number_with_every_suffix(number: Decimal, suffix: str):
    exact = Fraction(number) * SUFFIXES.get(suffix, 1)
    assert quantity(f"{number}{suffix}") == min(ceil(exact), MAX_QUANTITY)


def pod(spec: str) -> dict[str, Any]:
    return {"spec": yaml.safe_load(spec)}


def c(name: str, cpu: str, memory: str, extra: str = "") -> str:
    return f"{{name: {name}, resources: {{requests: {{cpu: {cpu}, memory: {memory}}}}}{extra}}}"


ALWAYS = ", restartPolicy: Always"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        pytest.param("containers: []", (0, 0), id="nothing"),
        pytest.param("containers: [{name: a}]", (0, 0), id="best effort"),
        pytest.param(
            f"containers: [{c('a', '100m', '1k')}, {c('b', '200m', '2k')}]",
            (300, 3000),
            id="containers add up",
        ),
        pytest.param(
            f"initContainers: [{c('i', '500m', '1k')}]\ncontainers: [{c('a', '100m', '2k')}]",
            (500, 2000),
            id="init container: the larger of each resource",
        ),
        pytest.param(
            f"initContainers: [{c('i', '500m', 0)}, {c('j', '400m', 0)}]\n"
            f"containers: [{c('a', '100m', 0)}]",
            (500, 0),
            id="init containers run one by one",
        ),
        pytest.param(
            f"initContainers: [{c('s', '100m', '1k', ALWAYS)}]\n"
            f"containers: [{c('a', '200m', '2k')}]",
            (300, 3000),
            id="sidecar runs beside the containers",
        ),
        pytest.param(
            f"initContainers: [{c('s', '100m', 0, ALWAYS)}, {c('i', '500m', 0)}]\n"
            f"containers: [{c('a', '200m', 0)}]",
            (600, 0),
            id="init container after a sidecar runs beside it",
        ),
        pytest.param(
            f"initContainers: [{c('i', '500m', 0)}, {c('s', '100m', 0, ALWAYS)}]\n"
            f"containers: [{c('a', '200m', 0)}]",
            (500, 0),
            id="init container before a sidecar does not",
        ),
        pytest.param(
            f"containers: [{c('a', '100m', '1k')}]\noverhead: {{cpu: 50m, memory: 5}}",
            (150, 1005),
            id="overhead of the runtime class",
        ),
        pytest.param(
            f"containers: [{c('a', '100m', '1k')}]\n"
            "resources: {requests: {cpu: '2'}}\noverhead: {cpu: 50m}",
            (2050, 1000),
            id="pod-level resources replace, overhead still adds",
        ),
    ],
)
def test_effective_requests(spec: str, wanted: tuple[int, int]):
    assert effective(pod(spec)) == Requests(*wanted)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        pytest.param("{}", 500, id="no status yet"),
        pytest.param(
            "{resources: {}, allocatedResources: {cpu: 700m}}", 700, id="asked for nothing before"
        ),
        pytest.param("{resources: {requests: {cpu: 200m}}}", 500, id="grows: what it asks for"),
        pytest.param("{resources: {requests: {cpu: '1'}}}", 1000, id="shrinks: what it still has"),
        pytest.param(
            "{resources: {requests: {cpu: 200m}}, allocatedResources: {cpu: 700m}}",
            700,
            id="what the kubelet has allocated",
        ),
    ],
)
def test_resize_under_way_counts_the_larger(status: str, wanted: int):
    found = pod(f"containers: [{c('a', '500m', 0)}]")
    found["status"] = {"containerStatuses": [{"name": "a", **yaml.safe_load(status)}]}
    assert effective(found).cpu_millis == wanted


def test_infeasible_resize_counts_what_the_pod_has():
    found = pod(f"containers: [{c('a', '64', 0)}]")
    found["status"] = {
        "containerStatuses": [{"name": "a", "resources": {"requests": {"cpu": "200m"}}}],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
    }
    assert effective(found).cpu_millis == 200


def test_infeasible_resize_of_a_container_that_asked_for_nothing():
    found = pod(f"containers: [{c('a', '64', 0)}]")
    found["status"] = {
        "containerStatuses": [{"name": "a", "resources": {}}],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
    }
    assert effective(found) == Requests()


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        pytest.param("", 4000, id="one that ends can't be resized: what it asks for"),
        pytest.param(ALWAYS, 2000, id="a sidecar: what it has"),
    ],
)
def test_status_of_init_containers(policy: str, wanted: int):
    found = pod(f"initContainers: [{c('i', '4', 0, policy)}]\ncontainers: [{c('a', '1', 0)}]")
    has = {"resources": {"requests": {"cpu": "1"}}}
    found["status"] = {
        "initContainerStatuses": [{"name": "i", **has}],
        "containerStatuses": [{"name": "a", **has}],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
    }
    assert effective(found).cpu_millis == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("containers: [{name: a}]", None),
        ("containers: [{name: a, resources: {limits: {cpu: '2'}}}, {name: b}]", None),
        (
            "containers: [{name: a, resources: {limits: {cpu: '2'}}},"
            " {name: b, resources: {limits: {cpu: 500m}}}]",
            2500,
        ),
        ("containers: [{name: a}]\nresources: {limits: {cpu: '3'}}", 3000),
        (
            "initContainers: [{name: s, restartPolicy: Always, resources: {limits: {cpu: '1'}}},"
            " {name: i}]\ncontainers: [{name: a, resources: {limits: {cpu: '2'}}}]",
            3000,
        ),
    ],
)
def test_cpu_limit(spec: str, wanted: int | None):
    assert cpu_limit(pod(spec)) == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            "containers: [{name: a, resources: {requests: {hugepages-2Mi: 4Mi}}}]",
            {2 * MIB: 4 * MIB},
        ),
        (
            "containers: [{name: a, resources: {requests: {hugepages-2Mi: 4Mi}}},"
            " {name: b, resources: {requests: {hugepages-2Mi: 2Mi, hugepages-1Gi: 1Gi}}}]",
            {2 * MIB: 6 * MIB, 1024 * MIB: 1024 * MIB},
        ),
        (
            "initContainers: [{name: i, resources: {requests: {hugepages-2Mi: 8Mi}}}]\n"
            "containers: [{name: a, resources: {requests: {hugepages-2Mi: 4Mi}}}]",
            {2 * MIB: 8 * MIB},
        ),
        (
            "containers: [{name: a, resources: {requests: {hugepages-2Mi: 4Mi}}}]\n"
            "resources: {requests: {hugepages-2Mi: 10Mi}}",
            {2 * MIB: 10 * MIB},
        ),
        ("containers: [{name: a, resources: {requests: {hugepages-2Mi: 0}}}]", {}),
    ],
)
def test_huge_pages_are_counted_like_any_resource(spec: str, wanted: dict[int, int]):
    assert dict(effective(pod(spec)).hugepages) == wanted


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("{}", 500),
        ("{resources: {requests: {cpu: 700m}}, allocatedResources: {cpu: 600m}}", 700),
        ("{resources: {requests: {cpu: 200m}}, allocatedResources: {cpu: 200m}}", 500),
        (
            "{resources: {requests: {cpu: 200m}}, allocatedResources: {cpu: 300m}, conditions: "
            "[{type: PodResizePending, status: 'True', reason: Infeasible}]}",
            300,
        ),
    ],
)
def test_resize_of_the_whole_pod_counts_the_larger(status: str, wanted: int):
    found = pod(f"containers: [{c('a', '100m', 0)}]\nresources: {{requests: {{cpu: 500m}}}}")
    found["status"] = yaml.safe_load(status)
    assert effective(found).cpu_millis == wanted


@pytest.mark.parametrize(
    ("infeasible", "wanted"),
    [
        pytest.param(False, Requests(2000, 1024 * MIB, ((2 * MIB, 4 * MIB),)), id="under way"),
        # Go's max() of what the pod has says nothing of huge pages: none.
        pytest.param(True, Requests(1000, 1024 * MIB), id="refused"),
    ],
)
def test_only_what_the_spec_gives_for_the_whole_pod_replaces(infeasible: bool, wanted: Requests):
    found = pod(
        "containers: [{name: a, resources: "
        "{requests: {cpu: 1, memory: 1Gi, hugepages-2Mi: 2Mi}}}]\n"
        "resources: {requests: {cpu: 2, hugepages-2Mi: 4Mi}}"
    )
    has = {"cpu": "1", "memory": "4Gi", "hugepages-1Gi": "1Gi"}
    found["status"] = {"resources": {"requests": has}, "allocatedResources": has}
    if infeasible:
        found["status"]["conditions"] = [
            {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}
        ]
    assert effective(found) == wanted


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ("{requests: {nvidia.com/gpu: 1}}", True),
        ("{limits: {intel.com/sriov: 1}}", True),
        ("{requests: {cpu: 1, memory: 1Gi, hugepages-2Mi: 2Mi, ephemeral-storage: 1Gi}}", False),
        ("{requests: {attachable-volumes-x.kubernetes.io/y: 1}}", False),
    ],
)
def test_devices_are_extended_resources(resources: str, wanted: bool):
    assert wants_devices(pod(f"containers: [{{name: a, resources: {resources}}}]")) is wanted
    assert wants_devices(pod(f"initContainers: [{{name: a, resources: {resources}}}]")) is wanted


@pytest.mark.parametrize(
    ("cpu", "qos", "wanted"),
    [
        ("2", "Guaranteed", True),
        ("2000m", "Guaranteed", True),
        ("1500m", "Guaranteed", False),
        ("2", "Burstable", False),
        ("0", "Guaranteed", False),
    ],
)
def test_exclusive_cpus_are_for_guaranteed_pods_with_whole_cpus(cpu: str, qos: str, wanted: bool):
    found = pod(f"containers: [{c('a', cpu, '1Gi')}]") | {"status": {"qosClass": qos}}
    assert wants_exclusive_cpus(found) is wanted


amounts = st.integers(0, 10**6)


@given(st.lists(amounts, max_size=4), st.lists(st.tuples(amounts, st.booleans()), max_size=4))
def test_effective_is_at_least_every_moment_of_the_pod(
    containers: list[int], starts: list[tuple[int, bool]]
):
    spec = {
        "containers": [
            {"name": f"c{i}", "resources": {"requests": {"cpu": f"{m}m"}}}
            for i, m in enumerate(containers)
        ],
        "initContainers": [
            {
                "name": f"i{i}",
                "resources": {"requests": {"cpu": f"{m}m"}},
                **({"restartPolicy": "Always"} if always else {}),
            }
            for i, (m, always) in enumerate(starts)
        ],
    }
    moments = [sum(containers) + sum(m for m, always in starts if always)]
    running = 0
    for m, always in starts:
        moments.append(running + m)
        running += m if always else 0
    assert effective({"spec": spec}).cpu_millis == max(moments)
