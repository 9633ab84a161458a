"""No order without the very pod: namespace, name, UID, node and label."""

from typing import Any

import msgspec
import pytest

from numapin_agent.orders import Refusal, order, wants_pin
from numapin_agent.pin.values import PinOrder
from numapin_agent.pods import PodView
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.pin import NumaPin

POD_UID = "0c2b8caf-0000-4000-8000-000000000001"


def pin(**spec: Any) -> NumaPin:
    return NumaPin.read(
        {
            "apiVersion": "numapin.io/v1alpha1",
            "kind": "NumaPin",
            "metadata": {"name": "hopper", "namespace": "default", "uid": "p-1", "generation": 4},
            "spec": {
                "podUID": POD_UID,
                "nodeName": "numa-0",
                "policy": "databases",
                "socket": 1,
                "cpus": "2-3",
                "mems": "1",
                **spec,
            },
        }
    )


def pod(
    *,
    uid: str = POD_UID,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    containers: dict[str, str] | None = None,
) -> PodView:
    return msgspec.convert(
        {
            "metadata": {
                "name": "hopper",
                "namespace": "default",
                "uid": uid,
                "labels": {"numapin.io/pin": "true"} if labels is None else labels,
                "annotations": annotations or {},
            },
            "spec": {"nodeName": "numa-0"},
            "status": {
                "containerStatuses": [
                    {"name": name, "containerID": id_} for name, id_ in (containers or {}).items()
                ]
            },
        },
        PodView,
    )


def test_an_order_holds_what_the_numapin_says() -> None:
    found = order(
        pin(), pod(containers={"load": "containerd://abc", "new": ""}), node_name="numa-0"
    )
    assert found == PinOrder(
        namespace="default",
        name="hopper",
        uid=POD_UID,
        generation=4,
        mode="Enforce",
        cpus=CpuSet({2, 3}),
        mems=NodeSet({1}),
        memory="Strict",
        headroom_percent=10,
        container_names={"abc": "load"},
    )
    assert wants_pin(found)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nodeName": "numa-1"}, "OtherNode"),
        ({"podUID": "another"}, "PodReplaced"),
    ],
)
def test_a_numapin_that_names_another_pod_is_refused(changed: dict[str, str], reason: str) -> None:
    found = order(pin(**changed), pod(), node_name="numa-0")
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert next(iter(changed.values())) in found.message


@pytest.mark.parametrize("labels", [{}, {"numapin.io/pin": "false"}, {"pin": "true"}])
def test_a_pod_that_did_not_opt_in_is_refused(labels: dict[str, str]) -> None:
    found = order(pin(), pod(labels=labels), node_name="numa-0")
    assert isinstance(found, Refusal)
    assert (found.reason, found.transient) == ("LabelRemoved", False)


def test_a_pod_that_is_not_here_is_waited_for_a_little() -> None:
    found = order(pin(), None, node_name="numa-0")
    assert isinstance(found, Refusal)
    assert (found.reason, found.transient) == ("PodNotFound", True)
    assert "default/hopper" in found.message


@pytest.mark.parametrize("spec", [{"mode": "Observe"}, {"cpus": None}])
def test_orders_that_write_nothing(spec: dict[str, Any]) -> None:
    found = order(pin(**spec), pod(), node_name="numa-0")
    assert isinstance(found, PinOrder)
    assert not wants_pin(found)


def test_a_static_pod_is_found_by_the_hash_of_its_manifest() -> None:
    static = pod(annotations={"kubernetes.io/config.mirror": "5ba5da8e"})
    found = order(pin(), static, node_name="numa-0")
    assert isinstance(found, PinOrder)
    assert found.uid == "5ba5da8e"
