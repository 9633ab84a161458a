"""A later version's CRD in a real API server: managers of two versions keep each other's fields."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, ApiextensionsV1Api
from support.objects import example
from support.resources import Resources
from support.wait import until

from numapin_api import crd, names
from numapin_api.names import AGENT_MANAGER, OPERATOR_MANAGER
from numapin_api.pin import NumaPin

pytestmark = pytest.mark.integration

Json = dict[str, Any]


@pytest.fixture
def pins(kube: ApiClient, namespace: str) -> Iterator[Resources]:
    """NumaPins as a later CRD has them: with ``invented`` in spec, status and observed."""
    api = ApiextensionsV1Api(kube)
    (kind,) = (k for k in crd.KINDS if k.model is NumaPin)
    found = Resources(kube, "numapins", namespace)

    def replace(definition: Json) -> None:
        standing = api.read_custom_resource_definition(kind.name)
        definition["metadata"]["resourceVersion"] = standing.metadata.resource_version
        api.replace_custom_resource_definition(kind.name, definition)

    later = copy.deepcopy(crd.crd(kind))
    parts = later["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for fields in (parts["spec"], parts["status"], parts["status"]["properties"]["observed"]):
        fields["properties"]["invented"] = {"type": "string"}
    replace(later)
    until(lambda: _takes_later_fields(found), what="the later CRD to be served", seconds=30)
    yield found
    replace(copy.deepcopy(crd.crd(kind)))
    until(lambda: not _takes_later_fields(found), what="this CRD to be served", seconds=30)


def _takes_later_fields(pins: Resources) -> bool:
    spec = {**example("NumaPin")["spec"], "invented": "x"}
    try:
        made = pins.apply("probe", body(spec=spec), manager="probe", dryRun="All", force="true")
    except ApiException as refused:
        if refused.status not in {400, 404, 422, 500}:
            raise
        return False
    return made["spec"].get("invented") == "x"


def body(**parts: Json) -> Json:
    """What a manager applies."""
    name = "probe" if "spec" in parts and parts["spec"].get("invented") == "x" else "hopper"
    head = {"apiVersion": names.API_VERSION, "kind": "NumaPin"}
    return {**head, "metadata": {"name": name}, **parts}


def test_an_older_operator_leaves_what_a_newer_agent_observed(pins: Resources):
    whole = example("NumaPin")
    observed = {**whole["status"]["observed"], "invented": "by agent"}
    pins.apply("hopper", body(spec=whole["spec"]), manager=OPERATOR_MANAGER)
    pins.apply("hopper", body(status={"observed": observed}), manager=AGENT_MANAGER, status=True)
    # What this version's operator sends: its model's fields, for it knows no others.
    read = NumaPin.read(pins.get("hopper"))
    assert read.status.observed.phase == "Pinned"
    verdict = {"verdict": "Verified", "conditions": whole["status"]["conditions"]}
    pins.apply("hopper", body(status=verdict), manager=OPERATOR_MANAGER, status=True, force="true")
    assert pins.get("hopper")["status"] == {**verdict, "observed": observed}


def test_an_older_agent_leaves_what_a_newer_operator_decided(pins: Resources):
    whole = example("NumaPin")
    spec = {**whole["spec"], "invented": "by operator"}
    pins.apply("hopper", body(spec=spec), manager=OPERATOR_MANAGER)
    verdict = {"verdict": "Verified", "invented": "by operator"}
    pins.apply("hopper", body(status=verdict), manager=OPERATOR_MANAGER, status=True)
    read = NumaPin.read(pins.get("hopper"))
    assert (read.spec.socket, read.status.verdict) == (1, "Verified")
    observed = whole["status"]["observed"]
    pins.apply("hopper", body(status={"observed": observed}), manager=AGENT_MANAGER, status=True)
    found = pins.get("hopper")
    assert found["status"] == {**verdict, "observed": observed}
    assert found["spec"]["invented"] == "by operator"


def test_a_newer_agent_on_an_older_crd_is_refused_by_name(kube: ApiClient, namespace: str):
    """Why the chart brings CRDs first: the whole observation is refused, not just one field."""
    pins = Resources(kube, "numapins", namespace)
    pins.apply("hopper", body(spec=example("NumaPin")["spec"]), manager=OPERATOR_MANAGER)
    later = {**example("NumaPin")["status"]["observed"], "invented": "by agent"}
    with pytest.raises(ApiException) as caught:
        pins.apply("hopper", body(status={"observed": later}), manager=AGENT_MANAGER, status=True)
    assert "field not declared in schema" in caught.value.body
