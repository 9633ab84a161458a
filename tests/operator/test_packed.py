"""What is packed comes out as it went in, and what looks like a NumaPin is small."""

import json

from hypothesis import given
from hypothesis import strategies as st
from support.objects import example

from numapin_operator.packed import pack, unpack

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20_000)


@given(TEXTS)
def test_comes_out_as_it_went_in(text: str):
    assert unpack(pack(text)).decode() == text


@given(TEXTS)
def test_the_same_text_gives_the_same_bytes(text: str):
    assert pack(text) == pack(text)


def test_a_pin_shrinks_to_half_at_least():
    for part in ("spec", "status"):
        text = json.dumps(example("NumaPin")[part], separators=(",", ":"))
        assert len(pack(text)) < len(text) / 2
