"""Hundreds of nasty pods in a real API server, and the operator as a process beside it."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiException
from support.operator_objects import pod
from support.operator_world import Operator, World
from support.wait import until

from numapin_api.names import ANNOTATIONS
from numapin_api.pin import NumaPin
from numapin_operator.conditions import MESSAGE_CHARACTERS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HUGE = "x" * (250 << 10)
NASTY = [
    "",
    " ",
    "0 ",
    "-1",
    "+0",
    "00",
    "0x0",
    "1e3",
    "9" * 400,
    "٣",
    "\uff12",
    "true",
    "null",
    "{}",
    "[]",
    "(default)",
    "(invalid)",
    "../../../etc/shadow",
    "/sys/fs/cgroup",
    "a/b",
    "%s%s%n",
    "{0.__class__}",
    "${jndi:x}",
    "'; DROP TABLE pins; --",
    "\x00",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nlevel=error msg=forged",
    "\r\n\r\n",
    "\u202eelbasrever",
    "\u2028\u2029\x85",
    "\ufeff0",
    "\ufffd",
    "😀" * 100,
    "Enforce\n",
    "strict",
    "NONE",
    HUGE,
]
QUANTITIES = ["1e3", "1E", "9E", "1n", "0.000000001", "9223372036854775807", "1e18"]
"""What the API server takes as a quantity; more is cut or refused by itself."""


def pods(node: str) -> Iterator[dict[str, Any]]:
    numbers = iter(range(10_000))
    for name in ANNOTATIONS:
        for value in NASTY:
            yield pod(f"p{next(numbers)}", node=node, annotations={name: value})
    dice = random.Random(7)
    alphabet = [chr(c) for c in (*range(0x20), 0x7F, 0x85, 0x2028, 0xFFFE, 0x1F600)] + list("01aS")
    for _ in range(100):
        wishes = {
            name: "".join(dice.choices(alphabet, k=dice.randrange(40)))
            for name in dice.sample(ANNOTATIONS, k=dice.randrange(1, 5))
        }
        yield pod(f"p{next(numbers)}", node=node, annotations=wishes)
    for quantity in QUANTITIES:
        yield pod(f"p{next(numbers)}", node=node, cpu=quantity, memory=quantity)
    many = {f"numapin.io/a{n}": "" for n in range(8000)}
    yield pod(f"p{next(numbers)}", node=node, annotations=many)
    yield pod(f"p{next(numbers)}", node=node, labels={f"l{n}": "v" * 60 for n in range(5000)})
    yield pod(f"{'n' * 240}", node=node)


def test_every_pod_that_the_api_server_takes_gets_a_pin_that_it_takes_too(
    world: World, operator: Operator, namespace: str, node: str
):
    before = len(operator.log.read_text().splitlines())
    made = set()
    for manifest in pods(node):
        try:
            world.pods(namespace).create(manifest)
        except ApiException as refused:
            if refused.status != 422:
                raise
        else:
            made.add(manifest["metadata"]["name"])
    assert len(made) > 200

    def pins() -> dict[str, NumaPin]:
        found = {p["metadata"]["name"]: NumaPin.read(p) for p in world.pins(namespace).list()}
        return {name: p for name, p in found.items() if p.status and p.status.conditions}

    until(lambda: pins().keys() == made, what="a pin with a status for every pod", seconds=120)
    for name, pin in pins().items():
        assert pin.status is not None
        assert pin.status.verdict in {"Pending", "Invalid", "Unplaceable", "Observing"}, name
        for condition in pin.status.conditions:
            assert len(condition.message) <= MESSAGE_CHARACTERS
            assert condition.message.isprintable()
    assert operator.healthy()
    log = operator.log.read_text()
    assert "Traceback" not in log
    assert "\x1b" not in log
    assert "\nlevel=error" not in log
    # A line for the pin and one for each verdict: Invalid at once, or Pending and then another.
    lines = log.splitlines()[before:]
    assert len(lines) <= 4 * len(made)
    assert max(map(len, lines)) < 2 * MESSAGE_CHARACTERS
    # The pins go with their pods, however many go at once.
    for name in made:
        world.delete(world.pods(namespace), name)
    until(lambda: not world.pins(namespace).list(), what="every pin to go", seconds=120)
