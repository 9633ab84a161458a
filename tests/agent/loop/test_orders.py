"""No order without the very pod: namespace, name, UID, node and label."""

from typing import Any

import pytest
from support.agent_objects import POD_UID, pin, pod

from numapin_agent.orders import Refusal, order, wants_pin
from numapin_agent.pin.values import PinOrder
from numapin_api.cpulist import CpuSet, NodeSet


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
