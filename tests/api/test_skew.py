"""Versions meet: what a newer one writes an older one reads, and neither destroys the other's.

Within v1alpha1 only optional fields are added. These tests hold the models to the two rules
that follow from it: unknown fields are dropped wherever they stand, and no field that was
optional once is ever required.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from support.objects import example

from numapin_api.base import Resource
from numapin_api.node import NumaNode
from numapin_api.pin import Move, NumaPin
from numapin_api.policy import NumaPolicy
from numapin_api.trace import NumaTrace

Json = dict[str, Any]
KINDS = (NumaPolicy, NumaNode, NumaPin, NumaTrace)
# Objects whose keys are data of users, not fields of ours.
FREE = {"matchLabels"}
LATER = {"invented": {"by": ["a later version"]}}


def objects_in(found: Any, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every JSON object below and the path to it."""
    if isinstance(found, dict):
        yield path, found
        for name, value in found.items():
            if name not in FREE:
                yield from objects_in(value, f"{path}.{name}")
    elif isinstance(found, list):
        for n, value in enumerate(found):
            yield from objects_in(value, f"{path}[{n}]")


PLACES = [(model, path) for model in KINDS for path, _ in objects_in(example(model.__name__))]


@pytest.mark.parametrize(("model", "path"), PLACES)
def test_a_field_of_a_later_version_is_dropped_wherever_it_stands(model: type[Resource], path):
    found = example(model.__name__)
    later = copy.deepcopy(found)
    dict(objects_in(later))[path].update(LATER)
    assert model.read(later).wire() == found


def without_last(found: Json, path: str) -> Json:
    """A copy without the field that a path like ``.status.observed.phase`` ends with."""
    made = copy.deepcopy(found)
    above, _, name = path.rpartition(".")
    del dict(objects_in(made))[above][name]
    return made


# What the first version of v1alpha1 could rely on; everything else an older writer may leave out.
ALWAYS = {
    "NumaPin": {
        ".apiVersion",
        ".kind",
        ".metadata",
        ".metadata.name",
        ".spec",
        ".spec.podUID",
        ".spec.nodeName",
        ".spec.policy",
        ".status.observed.generation",
        ".status.observed.phase",
    },
}
# Parts that came later: left out whole by an older writer, never in part.
WHOLE = {".spec.move"}


def fields_of_a_pin() -> list[str]:
    """Paths of all fields that the example has above the level of lists."""
    whole = example("NumaPin")
    found = [f"{path}.{name}" for path, part in objects_in(whole) for name in part]
    paths = [path for path in found if "[" not in path and path.count(".") <= 3]
    return [path for path in paths if path.rpartition(".")[0] not in WHOLE]


@pytest.mark.parametrize("path", sorted(set(fields_of_a_pin()) - ALWAYS["NumaPin"]))
def test_a_field_that_an_older_version_does_not_write_may_lack(path):
    found = without_last(example("NumaPin"), path)
    read = NumaPin.read(found)
    assert read.spec.socket == found["spec"].get("socket")
    # Nothing else is taken for unknown on that account.
    assert (read.status is None) == ("status" not in found)
    if "status" in found:
        assert read.status.wire().keys() >= found["status"].keys() - {"observed"}
        assert (read.status.observed is None) == ("observed" not in found["status"])


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("verdict", "Splendid"),
        ("evidence", "MeasuredByOracle"),
        ("observed", {"generation": 1, "phase": "Levitating"}),
        ("conditions", [{"type": "Pinned", "status": "Perhaps"}]),
    ],
)
def test_a_part_of_the_status_that_only_a_later_version_knows_counts_as_absent(part, value):
    found = example("NumaPin")
    read = NumaPin.read({**found, "status": {**found["status"], part: value}})
    rest = {name: value for name, value in found["status"].items() if name != part}
    assert read.wire() == {**found, "status": {"conditions": [], **rest}}


def test_a_move_has_no_reason_that_only_a_later_version_knows():
    """Nobody else could read the pin: not even where the pod belongs."""
    schema = Move.model_json_schema()["properties"]
    assert set(schema["reason"]["enum"]) == {"SocketBusy", "PodWaiting"}
    assert "crowded" not in Move.model_json_schema()["required"]


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": {**example("NumaPin")["spec"], "mode": "Levitate"}},
        {"spec": {**example("NumaPin")["spec"], "mode": "Levitate"}, "status": {"verdict": "?"}},
        {"status": "Verified"},
    ],
)
def test_an_unknown_spec_is_refused_all_the_same(changed):
    with pytest.raises(ValidationError):
        NumaPin.read({**example("NumaPin"), **changed})
