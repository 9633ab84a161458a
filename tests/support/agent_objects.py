"""A pod and its NumaPin as the agent receives them."""

from typing import Any

import msgspec

from numapin_agent.pods import PodView
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
