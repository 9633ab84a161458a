"""Whatever happens in whatever order: the pins that should be, and a restart writes nothing."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.operator_parts import Parts

from numapin_api.names import PIN_LABEL


def test_a_pod_that_waits_is_told_of_room_that_another_takes():
    parts = Parts()
    parts.node("n1")
    parts.start()
    for name, cpu in (("b", "700m"), ("c", "1900m"), ("a", "700m")):
        parts.pod(name, node="n1", cpu=cpu, annotations={"numapin.io/socket": "1"})
    parts.settle(200)
    assert parts.sockets() == {"a": 1, "b": 1, "c": None}
    before = len(parts.cluster.writes)
    again = parts.again()
    again.settle(200)
    assert again.cluster.writes[before:] == []


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order, settled means: exactly the pins that should be."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = Parts()
        for node in ("n0", "n1"):
            self.parts.node(node)
        self.parts.start()
        self.settled = True

    names = st.sampled_from(["a", "b", "c", "d", "e"])

    def _pods(self) -> dict[tuple[str, str], dict[str, Any]]:
        return self.parts.cluster.objects_of["pods"]

    @rule(
        name=names,
        node=st.sampled_from(["n0", "n1", None]),
        cpu=st.sampled_from(["0", "700m", "1900m"]),
        socket=st.sampled_from([None, "0", "1", "5"]),
    )
    def pod_appears(self, name: str, node: str | None, cpu: str, socket: str | None) -> None:
        if ("default", name) in self._pods():
            return
        asked = {} if socket is None else {"numapin.io/socket": socket}
        self.parts.pod(name, node=node, cpu=cpu, annotations=asked)
        self.settled = False

    @rule(name=names)
    def pod_or_label_goes(self, name: str) -> None:
        if ("default", name) in self._pods():
            self.parts.tell_gone("pods", ("default", name))
            self.settled = False

    @rule(name=names)
    def pod_goes_and_nobody_says_so(self, name: str) -> None:
        if ("default", name) in self._pods():
            self.parts.cluster.remove("pods", ("default", name))
            self.parts = self.parts.again()

    @rule(name=names)
    def pod_finishes(self, name: str) -> None:
        found = self._pods().get(("default", name))
        if found is not None:
            self.parts.tell("pods", found | {"status": {"phase": "Succeeded"}})
            self.settled = False

    @rule(name=names)
    def somebody_deletes_a_pin(self, name: str) -> None:
        if self.parts.pin(name) is not None:
            self.parts.tell_gone("numapins", ("default", name))
            self.settled = False

    @rule(writes=st.integers(1, 3))
    def api_server_fails(self, writes: int) -> None:
        self.parts.cluster.fail = writes

    @rule()
    def operator_restarts(self) -> None:
        self.parts = self.parts.again()

    @rule()
    def policy_comes_or_goes(self) -> None:
        if ("", "p") in self.parts.cluster.objects_of["numapolicies"]:
            self.parts.tell_gone("numapolicies", ("", "p"))
        else:
            self.parts.policy("p", placement={"strategy": "Pack"})
        self.settled = False

    @rule()
    def settle(self) -> None:
        self.parts.settle()
        self.settled = True

    @invariant()
    @precondition(lambda self: self.settled)
    def pins_are_those_that_should_be(self) -> None:
        self.parts.settle(200)
        pods = {
            key[1]: pod
            for key, pod in self._pods().items()
            if pod["metadata"]["labels"].get(PIN_LABEL) == "true"
            and pod["spec"].get("nodeName")
            and pod.get("status", {}).get("phase") != "Succeeded"
        }
        pins = {key[1]: pin for key, pin in self.parts.cluster.objects_of["numapins"].items()}
        assert pins.keys() == pods.keys()
        used: dict[tuple[str, int], int] = {}
        for name, pin in pins.items():
            pod = pods[name]
            assert pin["spec"]["podUID"] == pod["metadata"]["uid"]
            socket = pin["spec"].get("socket")
            asked = pod["metadata"]["annotations"].get("numapin.io/socket")
            if asked == "5":
                assert (socket, pin["status"]["verdict"]) == (None, "Invalid")
            elif asked is not None:
                assert socket in (None, int(asked))
            if socket is not None:
                cpu = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]
                place = pin["spec"]["nodeName"], socket
                used[place] = used.get(place, 0) + int(cpu.removesuffix("m"))
        assert all(millis <= 2000 for millis in used.values())
        before = len(self.parts.cluster.writes)
        self.parts = self.parts.again()
        assert self.parts.cluster.writes[before:] == []


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestLife = Life.TestCase
