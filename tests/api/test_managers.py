"""Operator and agent write their parts of one object without treading on each other."""

import pytest
from kubernetes.client import ApiClient, ApiException
from support.objects import example
from support.resources import Resources

from numapin_api import names
from numapin_api.names import AGENT_MANAGER, OPERATOR_MANAGER

pytestmark = pytest.mark.integration

HEAD = {"apiVersion": names.API_VERSION, "kind": "NumaPin"}
PINNED, VERIFIED = example("NumaPin")["status"]["conditions"]
OBSERVED = example("NumaPin")["status"]["observed"]


def body(status: dict[str, object]) -> dict[str, object]:
    return {**HEAD, "metadata": {"name": "hopper"}, "status": status}


@pytest.fixture
def pins(kube: ApiClient, namespace) -> Resources:
    found = Resources(kube, "numapins", namespace)
    spec = example("NumaPin")["spec"]
    found.apply(
        "hopper", {**HEAD, "metadata": {"name": "hopper"}, "spec": spec}, manager=OPERATOR_MANAGER
    )
    return found


def test_verdict_and_observation_live_side_by_side(pins: Resources):
    verdict = {"verdict": "Verified", "observedGeneration": 1, "conditions": [PINNED, VERIFIED]}
    for _ in range(2):  # the second time nothing changes, and nothing conflicts
        pins.apply("hopper", body({"observed": OBSERVED}), manager=AGENT_MANAGER, status=True)
        pins.apply("hopper", body(verdict), manager=OPERATOR_MANAGER, status=True)
    assert pins.get("hopper")["status"] == {**verdict, "observed": OBSERVED}


def test_same_status_again_makes_no_new_version(pins: Resources):
    sent = body({"observed": OBSERVED})
    first = pins.apply("hopper", sent, manager=AGENT_MANAGER, status=True)
    again = pins.apply("hopper", sent, manager=AGENT_MANAGER, status=True)
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


def test_agent_that_writes_a_verdict_is_refused(pins: Resources):
    pins.apply("hopper", body({"verdict": "Pending"}), manager=OPERATOR_MANAGER, status=True)
    with pytest.raises(ApiException) as caught:
        pins.apply("hopper", body({"verdict": "Verified"}), manager=AGENT_MANAGER, status=True)
    assert caught.value.status == 409
    assert ".status.verdict" in caught.value.body


def test_observation_is_replaced_whole(pins: Resources):
    pins.apply("hopper", body({"observed": OBSERVED}), manager=AGENT_MANAGER, status=True)
    waiting = {"generation": 2, "phase": "Waiting"}
    pins.apply("hopper", body({"observed": waiting}), manager=AGENT_MANAGER, status=True)
    assert pins.get("hopper")["status"]["observed"] == waiting


def test_managed_fields_of_an_observation_are_one_entry(pins: Resources):
    made = pins.apply("hopper", body({"observed": OBSERVED}), manager=AGENT_MANAGER, status=True)
    (agent,) = [m for m in made["metadata"]["managedFields"] if m["manager"] == AGENT_MANAGER]
    assert agent["fieldsV1"] == {"f:status": {"f:observed": {}}}
    assert agent["subresource"] == "status"


def test_conditions_of_two_managers_merge_by_type(pins: Resources):
    pins.apply("hopper", body({"conditions": [PINNED]}), manager=OPERATOR_MANAGER, status=True)
    pins.apply("hopper", body({"conditions": [VERIFIED]}), manager="another", status=True)
    types = [c["type"] for c in pins.get("hopper")["status"]["conditions"]]
    assert sorted(types) == ["Pinned", "Verified"]
    # A manager that no longer says one takes only its own away.
    pins.apply("hopper", body({"conditions": []}), manager="another", status=True)
    assert pins.get("hopper")["status"]["conditions"] == [PINNED]


def test_status_is_not_changed_through_the_object_nor_spec_through_status(pins: Resources):
    pins.merge("hopper", {"status": {"verdict": "Verified"}})
    assert "status" not in pins.get("hopper")
    pins.merge("hopper", {"spec": {"socket": 0, "cpus": "0-1"}}, status=True)
    assert pins.get("hopper")["spec"]["socket"] == 1


def test_pin_without_a_socket_gives_the_fields_up(pins: Resources):
    """What the operator applies when a pod can't be placed any more."""
    kept = {
        k: v for k, v in example("NumaPin")["spec"].items() if k not in ("socket", "cpus", "mems")
    }
    made = pins.apply(
        "hopper", {**HEAD, "metadata": {"name": "hopper"}, "spec": kept}, manager=OPERATOR_MANAGER
    )
    assert made["spec"].keys().isdisjoint({"socket", "cpus", "mems"})
