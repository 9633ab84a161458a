"""The models read and write what the API server holds."""

from datetime import UTC, datetime, timedelta, timezone

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.objects import example

from numapin_api.base import Condition, Resource
from numapin_api.node import NumaNode, TopologyStatus
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicy, NumaPolicySpec, percent, seconds
from numapin_api.trace import NumaTrace

KINDS = (NumaPolicy, NumaNode, NumaPin, NumaTrace)


@pytest.mark.parametrize("model", KINDS)
def test_example_survives_a_round_trip(model: type[Resource]):
    found = example(model.__name__)
    assert model.read(found).wire() == found


@pytest.mark.parametrize("model", KINDS)
def test_fields_of_a_later_version_are_dropped(model: type[Resource]):
    found = example(model.__name__)
    later = {**found, "status": {**found["status"], "invented": {"a": 1}}}
    assert model.read(later).wire() == found


def test_topology_has_the_same_form_for_kubernetes_and_for_planning():
    found = example("NumaNode")["status"]["topology"]
    value = TopologyStatus.model_validate(found).value()
    assert str(value.sockets[1].cpus) == "2-3"
    assert value.crosses(0, 1)
    assert TopologyStatus.of(value, hugepages={1: {"2Mi": 512, "1Gi": 0}}).wire() == found


def test_memory_only_node_has_no_socket_on_the_wire():
    found = {"sockets": [], "nodes": [{"id": 2, "cpus": "", "memoryBytes": 1}], "distances": []}
    assert TopologyStatus.model_validate(found).wire() == found


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"podUID": ""}, "podUID"),
        ({"podUID": "../../etc"}, "podUID"),
        ({"nodeName": "a/b"}, "nodeName"),
        ({"cpus": "0-3,"}, "cpus"),
        ({"cpus": ""}, "cpus"),
        ({"mode": "enforce"}, "mode"),
        ({"memoryHeadroom": "100%"}, "memoryHeadroom"),
        ({"verification": {"window": "60"}}, "window"),
    ],
)
def test_bad_pin_is_refused_by_name(changed, field):
    found = example("NumaPin")
    with pytest.raises(pydantic.ValidationError, match=field):
        NumaPin.read({**found, "spec": {**found["spec"], **changed}})


def test_time_is_whole_seconds_in_utc():
    there = timezone(timedelta(hours=2))
    made = Condition(
        type="Ready",
        status="True",
        reason="Ok",
        message="",
        last_transition_time=datetime(2026, 11, 23, 20, 0, 0, 999_999, tzinfo=there),
    )
    assert made.wire()["lastTransitionTime"] == "2026-11-23T18:00:00Z"


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)))  # noqa: DTZ001
def test_any_time_survives_a_round_trip_but_for_fractions(moment):
    made = Condition(
        type="Ready", status="True", reason="Ok", message="", last_transition_time=moment
    )
    again = Condition.model_validate(made.wire())
    assert again.last_transition_time == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    ("text", "value"), [("10s", 10), ("60s", 60), ("5m", 300), ("60m", 3600), ("3600s", 3600)]
)
def test_window_in_seconds(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "60", "s", "0s", "-1s", "1h", "1.5m", "60 s", "10000s", "1m30s", "٣s"]
)
def test_window_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="like 60s or 5m"):
        seconds(text)


@given(st.integers(0, 99))
def test_percent(n):
    assert percent(NumaPolicySpec(memory_headroom=f"{n}%").memory_headroom) == n


@pytest.mark.parametrize("text", ["100%", "10", "%", "010%", "-1%", "1.5%", "10 %", ""])
def test_percent_of_another_form_is_refused(text):
    with pytest.raises(pydantic.ValidationError, match="memoryHeadroom"):
        NumaPolicySpec.model_validate({"memoryHeadroom": text})
