"""What simulated agents answer, and how curves are chosen and drawn on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bench.scale import shape
from bench.scale.agents import wanted
from bench.scale.figures import PANELS, draw, line, series
from bench.scale.legs import legs

from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicy

NOW = datetime(2026, 11, 25, 17, 0, tzinfo=UTC)
SPEC = {"podUID": "u", "nodeName": "node-1", "policy": "(default)", "socket": 1}
META = {"name": "p-1", "namespace": "scale-1", "generation": 1}
PINNED = {"type": "Pinned", "status": "True"}
FRESH = {"since": "2026-11-25T16:00:00Z", "seconds": 7200}
STALE = {"since": "2026-11-25T16:00:00Z", "seconds": 60}


def pin(**status: Any) -> dict[str, Any]:
    place = {"cpus": "64-127", "mems": "1"}
    head = {"apiVersion": "numapin.io/v1alpha1", "kind": "NumaPin"}
    return head | {"metadata": META, "spec": SPEC | place, "status": status}


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (pin(), False),
        (pin(observed={"generation": 0, "counters": FRESH}), False),
        (pin(observed={"generation": 1}), None),
        (pin(observed={"generation": 1}, conditions=[PINNED]), True),
        (pin(observed={"generation": 1, "counters": FRESH}, conditions=[PINNED]), None),
        (pin(observed={"generation": 1, "counters": STALE}, conditions=[PINNED]), True),
        ({"metadata": META, "spec": SPEC}, None),
    ],
)
def test_an_agent_pins_first_and_reports_its_window_later(found: Any, answer: bool | None):
    assert wanted(found, now=NOW) is answer


def test_what_is_simulated_is_what_the_api_takes():
    head = shape.node(1) | {"status": shape.node_status()}
    assert NumaNode.read(head).status is not None
    assert NumaPolicy.read(shape.policy(3)).spec.priority == 3
    said = shape.observed(pin(), now=NOW, window=True)
    read = NumaPin.read(pin() | {"status": said["status"]})
    assert read.status is not None
    assert read.status.observed is not None
    assert read.status.observed.counters is not None


def logged(verb: str, what: str, begin: int, end: int, by: str = "numapin-operator") -> Any:
    """An entry of the audit log; begin and end in milliseconds."""
    resource, _, subresource = what.partition("/")
    stamp = "2026-11-25T17:00:00.{:03}000Z"
    return {
        "verb": verb,
        "userAgent": by,
        "user": {"username": "admin"},
        "objectRef": {"resource": resource, "name": "r1-0", "subresource": subresource},
        "requestReceivedTimestamp": stamp.format(begin),
        "stageTimestamp": stamp.format(end),
    }


def test_legs_are_from_the_pods_creation_to_the_request_for_its_pin_and_that_request():
    log = [
        logged("create", "pods", 10, 20, by="numapin-scale"),
        logged("patch", "numapins/status", 30, 35),
        logged("patch", "numapins", 60, 75),
        logged("patch", "numapins", 90, 99),
    ]
    alone = {"p50Milliseconds": pytest.approx(40), "p99Milliseconds": pytest.approx(40)}
    itself = {"p50Milliseconds": pytest.approx(15), "p99Milliseconds": pytest.approx(15)}
    assert legs(log, "r1") == {"operator": alone, "apiServer": itself}
    with pytest.raises(ValueError, match="no pod r2-… with a pin"):
        legs(log, "r2")


def point(nodes: int, labelled: int, policies: int = 10) -> dict[str, Any]:
    found: dict[str, Any] = {panel.stage: {} for panel in PANELS}
    for panel in PANELS:
        found[panel.stage][panel.figure] = nodes + labelled
    size = {"nodes": nodes, "labelled": labelled, "unlabelled": 0, "policies": policies}
    return size | found


POINTS = {
    str(number): point(*size)
    for number, size in enumerate([(200, 1000), (100, 1000), (200, 500), (200, 1000, 50)])
}


def test_a_curve_has_one_point_of_a_size():
    alone = point(5000, 5000)
    crowded = alone | {"unlabelled": 10_000}
    largest = point(5000, 100_000) | {"unlabelled": 200_000}
    found = series({"a": crowded, "b": alone, "c": largest}, "labelled")
    assert found == [crowded, largest]


def test_a_curve_has_the_points_that_differ_in_one_thing_only():
    found = {grows: [p[grows] for p in series(POINTS, grows)] for grows in ("nodes", "labelled")}
    assert found == {"nodes": [100, 200], "labelled": [500, 1000]}


def test_a_line_is_drawn_on_through_the_last_two_points():
    assert line([(0, 100), (1, 1), (2, 3)], 4) == 7
    with pytest.raises(ValueError, match="1 points make no line"):
        line([(0, 0)], 1)


def test_pictures_of_the_same_figures_are_the_same(tmp_path: Path):
    once = {path.name: path.read_bytes() for path in draw(POINTS, tmp_path)}
    again = {path.name: path.read_bytes() for path in draw(POINTS, tmp_path)}
    assert sorted(once) == ["scale-nodes.svg", "scale-pods.svg", "scale-policies.svg"]
    assert once == again
