"""Questions go over as they are, answers are made to fit and say so."""

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numapin_agent.trace.histogram import of
from numapin_agent.trace.question import PROBES, Question, QuestionError
from numapin_agent.trace.result import OTHERS, Moment, Result, Row, Stack
from numapin_agent.traces.wire import Asked, fitted, question
from numapin_api import trace as contract
from numapin_api.errors import TraceError
from numapin_api.trace import NumaTraceSpec, unpack


def test_the_contract_names_the_probes_that_there_are():
    assert tuple(PROBES) == contract.PROBES


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"probe": "timers"}, Question("timers")),
        (
            {"probe": "timers", "thresholdNanoseconds": 5},
            Question("timers", threshold=5),
        ),
        (
            {"probe": "function", "function": "vfs_read", "stacks": True},
            Question("function", "vfs_read", stacks=True),
        ),
    ],
)
def test_a_spec_is_a_question(spec, expected):
    found = question(NumaTraceSpec.model_validate({"nodeName": "n", **spec}))
    assert Question(**found) == expected


def test_what_the_api_server_would_have_refused_is_refused():
    with pytest.raises(QuestionError, match="needs the name"):
        question(NumaTraceSpec.model_validate({"nodeName": "n", "probe": "function"}))


def test_asked_is_plain_json():
    asked = Asked({"probe": "timers"}, 10, "node n", None, "/", "/sys/fs/cgroup", "/run/x")
    assert Asked(**asked.encode()) == asked
    assert dataclasses.asdict(asked) == asked.encode()


def big(stacks, moments, rows):
    return Result(
        probe="off-cpu",
        scope="pod a/b",
        seconds=1,
        stacks=[Stack(frames=[f"f{n}", f"g{n * 7919}"], weight=n) for n in range(stacks)],
        moments=[
            Moment(at_seconds=n, nanoseconds=n, labels={"x": str(n * 104729)})
            for n in range(moments)
        ],
        rows=[Row(labels={"name": f"r{n * 15485863}"}, histogram=of([n])) for n in range(rows)],
        notes=["a note"],
    )


def test_what_fits_is_whole():
    result = big(5, 5, 5)
    assert Result.model_validate(unpack(fitted(result))) == result


def test_the_lightest_call_paths_go_first():
    result = big(4000, 10, 10)
    text = fitted(result, most=8000)
    assert len(text) <= 8000
    found = Result.model_validate(unpack(text))
    assert 0 < len(found.stacks) < 4000
    *heaviest, others = found.stacks
    weights = [one.weight for one in heaviest]
    assert weights == sorted(range(4000), reverse=True)[: len(weights)]
    assert others == Stack(frames=[OTHERS], weight=sum(range(4000)) - sum(weights))
    assert (len(found.moments), len(found.rows)) == (10, 10)
    assert found.notes[0] == "a note"
    assert f"{4000 - len(weights):,} of 4,000 call paths" in found.notes[1]


def test_what_was_told_as_one_already_is_told_as_one_again():
    """Of a node there may be too many rows for an answer, and then for an object."""
    whole = big(4000, 0, 4000)
    stack = Stack(frames=[OTHERS], weight=1 << 40)
    row = Row(labels={"name": OTHERS}, histogram=of([1 << 39]))
    whole = whole.model_copy(update={"stacks": [*whole.stacks, stack], "rows": [*whole.rows, row]})
    found = Result.model_validate(unpack(fitted(whole, most=8000)))
    assert [one.frames for one in found.stacks].count([OTHERS]) == 1
    assert [one.labels["name"] for one in found.rows].count(OTHERS) == 1
    assert sum(s.weight for s in found.stacks) == sum(s.weight for s in whole.stacks)
    assert found.total() == whole.total()


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1200, 4000))
@example(1, 0, 30, 1200)
def test_every_answer_fits_and_says_what_it_lacks(stacks, moments, rows, most):
    whole = big(stacks, moments, rows)
    text = fitted(whole, most=most)
    assert len(text) <= most
    found = Result.model_validate(unpack(text))
    assert sum(one.weight for one in found.stacks) == sum(one.weight for one in whole.stacks)
    assert found.total() == whole.total()
    short = [p for p in ("stacks", "moments", "rows") if getattr(found, p) != getattr(whole, p)]
    assert len(found.notes) == 1 + len(short)


@pytest.mark.parametrize(
    ("stacks", "moments"),
    [
        pytest.param(3000, 0, id="call paths"),
        pytest.param(0, 3000, id="events"),
    ],
)
@pytest.mark.parametrize("letter", ["a", "я"])
def test_what_packs_well_can_be_unpacked(stacks, moments, letter):
    """Deep call paths of the same few functions take a hundredth of their size."""
    whole = Result(
        probe="off-cpu",
        scope="node",
        seconds=1,
        stacks=[Stack(frames=[letter * 250] * 40 + [str(n)], weight=1) for n in range(stacks)],
        moments=[
            Moment(at_seconds=0, nanoseconds=1, labels={"on": letter * 10_000})
            for _ in range(moments)
        ],
    )
    found = Result.model_validate(unpack(fitted(whole)))
    assert len(found.stacks) < stacks or len(found.moments) < moments
    assert sum(one.weight for one in found.stacks) == stacks
    assert "has no room for more" in found.notes[-1]


def test_what_has_no_room_at_all_is_refused():
    with pytest.raises(TraceError, match="room for 100"):
        fitted(big(1, 1, 1), most=100)
