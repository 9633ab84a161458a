"""What somebody can do who may create pods and annotate them, and nothing else.

Costs are counted: writes, Events and log lines that one pod can cause; and whatever stands
in a pod, its pin is one that the API server takes.
"""

import json
import logging
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.operator_objects import pod as manifest
from support.operator_parts import Parts

from numapin_api.names import ANNOTATIONS, PIN_LABEL
from numapin_api.pin import NumaPin
from numapin_operator.allowance import BURST, REFILL_SECONDS
from numapin_operator.conditions import MESSAGE_CHARACTERS
from numapin_operator.logs import JsonFormatter, PlainFormatter
from numapin_operator.pods import MOST_LABELS, read_pod
from numapin_operator.reconcile import FIRST_STATUS_SECONDS
from numapin_operator.requests import MAX_QUANTITY, quantity

TEN_MINUTES = 600
MOST_WRITES = BURST + TEN_MINUTES / REFILL_SECONDS + 5
"""Within ten minutes, of one pod: the burst, the refills, and what one look may take more."""
MOST_EVENTS = 2 * 4
"""Each reason at most once in five minutes."""
HUGE = "x" * (255 << 10)


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.node()
    return made.start()


FLIPS = {
    "socket": [{"numapin.io/socket": "0"}, {"numapin.io/socket": "1"}],
    "wrong values": [{"numapin.io/socket": f"x{n}"} for n in range(7)],
    "right and wrong": [{"numapin.io/mode": "Enforce"}, {"numapin.io/mode": "x"}],
    "mode": [{"numapin.io/mode": "Enforce"}, {"numapin.io/mode": "Observe"}],
}


@pytest.mark.parametrize("flips", FLIPS.values(), ids=FLIPS)
def test_an_annotation_changed_each_second_costs_a_bounded_number_of_writes(
    parts: Parts, caplog: pytest.LogCaptureFixture, flips: list[dict[str, str]]
):
    parts.pod("quiet", node="numa-0")
    parts.settle(10)
    parts.cluster.writes.clear()
    with caplog.at_level(logging.INFO):
        for second in range(TEN_MINUTES):
            parts.pod("flip", annotations=flips[second % len(flips)])
            parts.settle(1)
    events = [w for w in parts.cluster.writes if w.startswith("event ")]
    assert len(parts.cluster.writes) - len(events) <= MOST_WRITES
    assert len(events) <= MOST_EVENTS
    assert len(caplog.records) <= 2 * MOST_WRITES
    assert not [w for w in parts.cluster.writes if w.endswith("/quiet")]
    # And in the end the last word counts.
    parts.pod("flip", annotations={"numapin.io/socket": "1"})
    parts.settle(60)
    assert parts.sockets()["flip"] == 1


def test_the_label_put_on_and_off_costs_a_bounded_number_of_writes(
    parts: Parts, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        for _ in range(TEN_MINUTES // 2):
            parts.pod("flip")
            parts.settle(1)
            parts.tell_gone("pods", ("default", "flip"))
            parts.settle(1)
    assert len(parts.cluster.writes) <= MOST_WRITES
    assert len(caplog.records) <= 2 * MOST_WRITES
    assert parts.pin("flip") is None


def test_a_pod_made_anew_starts_with_what_its_predecessor_left(parts: Parts):
    for number in range(TEN_MINUTES):
        made = manifest("again")
        made["metadata"] |= {"namespace": "default", "uid": f"uid-of-{number}"}
        parts.tell("pods", made)
        parts.settle(1)
    pins = [w for w in parts.cluster.writes if not w.startswith("event ")]
    # A pin of a pod that is gone is deleted at once, and a new one waits for its turn.
    assert len(pins) <= MOST_WRITES


def test_writes_that_are_refused_count(parts: Parts, caplog: pytest.LogCaptureFixture):
    """A quota of no NumaPins, or a namespace that is going: each try costs the API server."""
    parts.cluster.fail = 1_000_000
    with caplog.at_level(logging.INFO):
        for number in range(TEN_MINUTES):
            parts.pod("flip", annotations={"numapin.io/socket": str(number % 2)})
            parts.settle(1)
    assert 1_000_000 - parts.cluster.fail <= MOST_WRITES
    assert len(caplog.records) <= 2 * MOST_WRITES


# Whatever stands in a pod.

WORDS = st.sampled_from(["Enforce", "Observe", "Strict", "0", "1", "2", "(default)", "(invalid)"])
VALUES = WORDS | st.text(max_size=300)
NAMES = st.sampled_from(ANNOTATIONS) | st.from_regex(
    r"numapin\.io/[A-Za-z0-9]{1,63}", fullmatch=True
)


@settings(max_examples=150, deadline=None)
@given(annotations=st.dictionaries(NAMES, VALUES, max_size=20))
@example(dict.fromkeys(ANNOTATIONS, HUGE))
@example({f"numapin.io/a{n}": "" for n in range(20_000)})
@example({"numapin.io/socket": "9" * 5000})
@example({"numapin.io/socket": "٣"})
@example({"numapin.io/policy": "\ud800"})
@example({"numapin.io/policy": "\x00\x1b[2J\n\r\u202e"})
@example({"numapin.io/policy": "(default)"})
@example({"numapin.io/policy": "../../etc"})
@example({"numapin.io/released": "x"})
def test_every_annotation_ends_in_a_pin_that_the_api_server_takes(annotations: dict[str, str]):
    parts = Parts()
    parts.node()
    parts.start()
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.extend(  # type: ignore[method-assign]
        style().format(record) for style in (JsonFormatter, PlainFormatter)
    )
    root = logging.getLogger("numapin_operator")
    root.addHandler(handler)
    old = root.level
    root.setLevel(logging.INFO)
    try:
        parts.pod("p", annotations=annotations)
        parts.settle(FIRST_STATUS_SECONDS + 1)
    finally:
        root.removeHandler(handler)
        root.setLevel(old)
    pin = NumaPin.read(parts.pin("p"))
    assert pin.status is not None
    assert pin.status.verdict in {"Pending", "Invalid", "Observing"}
    for condition in pin.status.conditions:
        assert 0 < len(condition.message) <= MESSAGE_CHARACTERS
        assert condition.message.isascii()
        assert condition.message.isprintable()
    # JSON without lone surrogates, and far from the 1.5 MiB that etcd takes.
    assert len(json.dumps(parts.pin("p"), ensure_ascii=False).encode()) < 20_000
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 2 * MESSAGE_CHARACTERS


def test_what_is_remembered_of_a_pod_is_small_whatever_it_carries():
    big = manifest("p", labels={f"l{n}": "v" * 60 for n in range(20_000)})
    big["metadata"] |= {"namespace": "default", "uid": "u"}
    big["metadata"]["annotations"] = dict.fromkeys(ANNOTATIONS, HUGE) | {
        f"numapin.io/a{n}": "v" * 60 for n in range(4000)
    }
    kept = read_pod(big)
    assert kept.labels is not None
    assert kept.annotations is not None
    assert len(kept.labels) <= MOST_LABELS + 1
    assert sum(map(len, [*kept.annotations, *kept.annotations.values()])) < 4000


def test_labels_beyond_count_choose_no_policy(parts: Parts):
    parts.pod("p", labels={f"l{n}": "" for n in range(MOST_LABELS + 1)})
    parts.settle(5)
    pin = NumaPin.read(parts.pin("p"))
    assert pin.spec.socket is None
    assert pin.status is not None
    assert [c.reason for c in pin.status.conditions if c.type == "Pinned"] == ["TooManyLabels"]
    parts.pod("q", labels={f"l{n}": "" for n in range(MOST_LABELS - 1)})
    parts.settle(5)
    assert parts.sockets()["q"] is not None


def test_a_label_of_another_value_opts_nothing_in(parts: Parts):
    for number, value in enumerate(["True", "TRUE", "1", "yes", "", " true"]):
        parts.pod(f"p{number}", labelled=False, labels={PIN_LABEL: value})
    parts.settle(5)
    assert parts.sockets() == {}


@settings(deadline=None)
@given(
    st.text(max_size=40)
    | st.from_regex(r"[+-]?\d{1,6}(\.\d{1,6})?([eE]-?\d{1,9}|[mkMGTPEKi]{0,2})")
)
@example("1e999999")
@example("1e999999999")
@example("1e-999999999")
@example("9" * 5000)
@example("NaN")
@example("Infinity")
@example("1E")
def test_every_quantity_is_a_number_in_range_or_refused(text: str):
    began = time.process_time()
    try:
        found = quantity(text, scale=1000)
    except ValueError:
        return
    finally:
        assert time.process_time() - began < 0.5
    assert -MAX_QUANTITY <= found <= MAX_QUANTITY
