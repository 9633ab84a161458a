"""Answers, packed and unpacked; what is none is said to be none."""

import gzip
import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_api.trace import MAX_UNPACKED_BYTES, NumaTraceStatus, pack, unpack

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6))
def test_what_is_packed_is_unpacked(answer):
    assert unpack(pack(answer)) == answer
    assert pack(answer) == pack(answer)


def packed(data: bytes) -> str:
    return b64encode(gzip.compress(data)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no base64!",
        b64encode(b"no gzip").decode(),
        packed(b"no JSON"),
        packed(b"17"),
        packed(b'{"a":' + b"[" * 100_000),
        packed(b'"text"'),
        packed(b""),
        pack({"a": "b"})[:-8],
        packed(json.dumps({"a": " " * (17 << 20)}).encode()),
    ],
)
def test_what_is_no_answer_is_refused(text):
    with pytest.raises(ValueError, match=r"status\.result is not an answer"):
        unpack(text)


def test_what_would_not_be_read_is_not_packed():
    room = MAX_UNPACKED_BYTES - len('{"a":""}')
    assert unpack(pack({"a": " " * room})) == {"a": " " * room}
    with pytest.raises(ValueError, match="are read"):
        pack({"a": " " * (room + 1)})


@given(st.text(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(text):
    with pytest.raises(ValueError, match=r"status\.result"):
        unpack(text)


def test_an_answer_is_part_of_a_status():
    status = NumaTraceStatus(phase="Done", result=pack({"probe": "timers"}))
    assert unpack(status.wire()["result"]) == {"probe": "timers"}
