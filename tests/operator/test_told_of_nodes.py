"""What agents tell of nodes beside the machine: other tools that pin, and who holds devices."""

from support.operator_objects import two_sockets
from support.operator_parts import Parts


def test_stands_down_where_another_tool_pins_and_comes_back():
    parts = Parts()
    parts.node()
    parts.start()
    for name in "ab":
        parts.pod(name)
    parts.settle(5)
    assert None not in parts.sockets().values()
    other = {"name": "nri-resource-policy-balloons", "standDown": True, "message": "seen"}
    parts.node(status=two_sockets() | {"neighbours": [other]})
    parts.settle(30)
    assert set(parts.sockets().values()) == {None}
    assert parts.verdicts()["a"] == "Conflict"
    said = parts.cluster.pin("default", "a")["status"]["conditions"]
    pin = next(c for c in said if c["type"] == "Pinned")
    assert (pin["status"], pin["reason"]) == ("False", "Conflict")
    assert "nri-resource-policy-balloons" in pin["message"]
    parts.node(status=two_sockets() | {"neighbours": [other | {"standDown": False}]})
    parts.settle(30)
    assert None not in parts.sockets().values()


def test_devices_are_waited_for_but_not_for_ever():
    parts = Parts()
    parts.node(status=two_sockets() | {"devices": []})
    parts.start()
    gpu = {"example.com/gpu": "1"}
    for name in ("a", "b"):
        made = parts.pod(name)
        made["spec"]["containers"][0]["resources"]["limits"] = gpu
        made["metadata"]["creationTimestamp"] = parts.time()
        parts.tell("pods", made)
    parts.settle(6)
    assert parts.sockets() == {"a": None, "b": None}
    assert parts.verdicts() == {"a": "Pending", "b": "Pending"}
    held = [{"namespace": "default", "name": "a", "numaNodes": [1]}]
    parts.node(status=two_sockets() | {"devices": held})
    parts.settle(5)
    assert parts.sockets() == {"a": 1, "b": None}
    parts.settle(40)
    assert parts.sockets() == {"a": 1, "b": 0}


def test_devices_of_an_earlier_pod_of_that_name_are_waited_out():
    parts = Parts()
    gpu = {"example.com/gpu": "1"}
    parts.policy("p", placement={"devices": "Require"})

    def held(uid: str, *nodes: int) -> None:
        one = {"namespace": "default", "name": "web-0", "podUID": uid, "numaNodes": nodes}
        parts.node(status=two_sockets() | {"devices": [one]})

    held("u-before", 1)
    parts.start()
    made = parts.pod("web-0")
    made["spec"]["containers"][0]["resources"]["limits"] = gpu
    made["metadata"] |= {"creationTimestamp": parts.time(), "uid": "u-now"}
    parts.tell("pods", made)
    parts.settle(6)
    assert parts.sockets() == {"web-0": None}
    held("u-now", 0)
    parts.settle(5)
    assert parts.sockets() == {"web-0": 0}
    # What is said of a pod changes: it is looked at, though it waits for nothing.
    held("u-now", 1)
    parts.settle(5)
    assert parts.sockets() == {"web-0": 1}
