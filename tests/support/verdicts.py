"""Waiting for verdicts in the lab, and what they say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.world import NAMESPACE, World

from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import eventually

VERDICT_SECONDS = 420
"""Three windows of 20 s, the baseline of 30 s before, and an emulated node's time."""


def await_verdict(world: World, name: str, *verdicts: str) -> NumaPin:
    """The pin once it has one of these verdicts."""

    def there() -> NumaPin | None:
        pin = world.pin(name)
        status = pin.status if pin is not None else None
        return pin if status is not None and status.verdict in verdicts else None

    try:
        found = eventually(there, seconds=VERDICT_SECONDS, what=f"{name} is {verdicts}")
    except Exception as error:
        error.add_note(f"{name} now: {world.pin(name)!r}")
        raise
    assert found is not None
    return found


def said(pin: NumaPin, kind: str = "Verified") -> str:
    """The message of a condition; none where the operator has not said any yet."""
    assert pin.status is not None
    return next((c.message for c in pin.status.conditions if c.type == kind), "")


@contextmanager
def made(world: World, manifest: Any) -> Iterator[str]:
    """A pod that is there for one test; its name."""
    name = manifest["metadata"]["name"]
    world.cluster.delete(NAMESPACE, [name], seconds=420)
    world.cluster.create(manifest)
    try:
        yield name
    finally:
        world.cluster.delete(NAMESPACE, [name], seconds=420)
