"""The operator's requests: where they go, and which refusals are as good as success."""

import asyncio
from typing import Any

import pytest

from numapin_operator.kube import Json, RefusedError
from numapin_operator.pods import Key
from numapin_operator.writer import ApiWriter, Pace

PIN: Json = {"metadata": {"namespace": "ns", "name": "redis"}}
OWN = "/apis/numapin.io/v1alpha1"
QUERY = "fieldManager=numapin-operator&force=true"


class Server:
    """Answers with what it was sent, or refuses."""

    def __init__(self, refuse: int | None = None) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[Json] = []
        self._refuse = refuse
        self.writer = ApiWriter(self._send, Pace(1000))

    async def _send(self, method: str, path: str, body: Json, content: str) -> Json:
        self.asked.append((method, path, content.partition("/")[2]))
        self.bodies.append(body)
        if self._refuse is not None:
            raise RefusedError(method, path, self._refuse, b"{}")
        return body


def test_everything_is_applied_at_its_place():
    server = Server()

    async def write() -> list[Any]:
        writer = server.writer
        return [
            await writer.apply_pin(PIN),
            await writer.apply_pin_status(PIN),
            await writer.apply_policy_status({"metadata": {"name": "p"}}),
            await writer.create_event("ns", {"kind": "Event"}),
        ]

    assert asyncio.run(write())[:2] == [PIN, PIN]
    apply = "apply-patch+yaml"
    pin = f"{OWN}/namespaces/ns/numapins/redis"
    assert server.asked == [
        ("PATCH", f"{pin}?{QUERY}", apply),
        ("PATCH", f"{pin}/status?{QUERY}", apply),
        ("PATCH", f"{OWN}/numapolicies/p/status?{QUERY}", apply),
        ("POST", "/api/v1/namespaces/ns/events", "json"),
    ]


def test_only_the_pin_that_is_meant_is_deleted():
    server = Server()
    asyncio.run(server.writer.delete_pin(Key("ns", "redis"), "u"))
    assert server.asked == [("DELETE", f"{OWN}/namespaces/ns/numapins/redis", "json")]
    assert server.bodies[0]["preconditions"] == {"uid": "u"}


@pytest.mark.parametrize("status", [404, 409])
def test_a_pin_that_is_gone_or_another_is_as_good_as_deleted(status: int):
    asyncio.run(Server(status).writer.delete_pin(Key("ns", "redis"), "u"))


def test_other_refusals_are_told():
    with pytest.raises(RefusedError, match="403"):
        asyncio.run(Server(403).writer.delete_pin(Key("ns", "redis"), "u"))
    with pytest.raises(RefusedError, match="404"):
        asyncio.run(Server(404).writer.apply_pin_status(PIN))
