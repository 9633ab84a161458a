"""The end-to-end tests' own watch of NumaPins, on a real API server."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, CustomObjectsApi
from kubernetes.client.exceptions import ApiException
from support.wait import until
from support.watched import Watched

from numapin_api.names import GROUP, VERSION
from numapin_api.pin import NumaPin

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

OBJECTS = Path(__file__).parents[1] / "api/objects.yaml"


@pytest.fixture
def pin(namespace: str) -> dict[str, Any]:
    made = next(o for o in yaml.safe_load_all(OBJECTS.read_text()) if o["kind"] == NumaPin.KIND)
    made["metadata"]["namespace"] = namespace
    return made


def test_each_state_is_told_once_and_in_order_also_the_last(
    kube: ApiClient, namespace: str, pin: dict[str, Any]
) -> None:
    api = CustomObjectsApi(kube)
    where = (GROUP, VERSION, namespace, NumaPin.PLURAL)
    api.create_namespaced_custom_object(*where, pin)
    told = Watched(api, namespace)
    sockets = [1, 0, 1, 0, 1]
    for socket in sockets[1:]:
        patch = {"spec": {"socket": socket}}
        api.patch_namespaced_custom_object(*where, "hopper", patch)
    told.stop()
    assert [state.spec.socket for state in told.of("hopper")] == sockets
    assert told.of("another") == []


def test_a_watch_that_ends_in_an_error_fails_whoever_relies_on_it(
    kube: ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = CustomObjectsApi(kube)
    told = Watched(api, namespace)

    def gone(*_args: object, **_more: object) -> None:
        raise ApiException(status=410, reason="Gone")

    monkeypatch.setattr(api, "list_namespaced_custom_object", gone)
    until(lambda: told.over, what="the next request", seconds=30)
    with pytest.raises(ApiException, match="410"):
        told.stop()
