"""No order without the very pod: namespace, name, UID, node and label."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
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


MIRROR = "kubernetes.io/config.mirror"


def test_a_static_pod_is_found_by_the_hash_of_its_manifest() -> None:
    static = pod(annotations={MIRROR: "5ba5da8e"}, containers={"etcd": "containerd://abc"})
    found = order(pin(), static, node_name="numa-0")
    assert isinstance(found, PinOrder)
    assert (found.uid, found.mirrors) == ("5ba5da8e", True)


def test_nobody_can_claim_another_pods_cgroup_by_annotation() -> None:
    """Anyone may create a pod with that annotation; no kubelet writes a status for it."""
    thief = pod(annotations={MIRROR: "5ba5da8e", "kubernetes.io/config.hash": "5ba5da8e"})
    found = order(pin(), thief, node_name="numa-0")
    assert isinstance(found, PinOrder)
    assert (found.uid, found.mirrors) == (POD_UID, False)


@settings(deadline=None)
@given(claimed=st.text(max_size=200))
@example("../../../system.slice")
@example("x" * (256 << 10))
@example("..")
@example("a/b")
@example("")
@example("pod\n1")
def test_what_is_no_uid_never_gets_near_a_path(claimed: str) -> None:
    odd = pod(annotations={MIRROR: claimed}, containers={"etcd": "containerd://abc"})
    found = order(pin(), odd, node_name="numa-0")
    assert isinstance(found, PinOrder)
    assert found.uid == (claimed if re.fullmatch("[0-9a-zA-Z-]{1,64}", claimed) else POD_UID)


def test_what_an_author_can_change_at_will_is_no_change() -> None:
    """Else each annotation of a pod would cost the agent a look at its cgroup."""
    old = pod()
    assert old.same(pod(annotations={"numapin.io/socket": "1", "a": "b" * 1000}))
    assert not old.same(pod(labels={}))
    assert not old.same(pod(uid="another"))
    assert not old.same(pod(annotations={MIRROR: "5ba5da8e"}))
    assert not old.same(pod(containers={"load": "containerd://abc"}))
