"""Cpulists as Linux reads and prints them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_api.cpulist import MAX_ID, CpuSet, IdSet, NodeSet
from numapin_api.errors import CpuListError

ids = st.frozensets(st.integers(0, 300))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("0", [0]),
        ("0-3", [0, 1, 2, 3]),
        ("0-3,8", [0, 1, 2, 3, 8]),
        ("8,0-1", [0, 1, 8]),
        ("0-2,1-4", [0, 1, 2, 3, 4]),
        ("3-3", [3]),
        # lib/bitmap.c: of each group of 4 the first 2.
        ("0-7:2/4", [0, 1, 4, 5]),
        ("1-9:1/4", [1, 5, 9]),
        # Kernels before 4.x ended the lists with a newline and a NUL byte.
        ("0-1\n\0", [0, 1]),
        (" 0-1 , 4 ", [0, 1, 4]),
        ("65536", [65536]),
    ],
)
def test_parse(text, found):
    assert list(CpuSet.parse(text)) == found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a", "'a'"),
        ("0-", "'0-'"),
        ("-1", "'-1'"),
        ("0,,1", "''"),
        ("0-3,", "''"),
        ("3-1", "'3-1'"),
        ("0-7:0/4", "'0-7:0/4'"),
        ("0-7:5/4", "'0-7:5/4'"),
        ("0x3", "'0x3'"),
        ("1 2", "'1 2'"),
        ("٣", "'٣'"),
        ("65537", "65536"),
        ("0-9999999", "65536"),
        ("99999999", "'99999999'"),
    ],
)
def test_refused_part_is_named(text, named):
    with pytest.raises(CpuListError, match=named):
        CpuSet.parse(text)


@pytest.mark.parametrize("n", [-1, MAX_ID + 1])
def test_id_out_of_range_is_refused(n):
    with pytest.raises(CpuListError, match=str(n)):
        CpuSet([n])


@given(ids)
def test_print_and_parse(found):
    text = str(CpuSet(found))
    assert CpuSet.parse(text) == CpuSet(found)
    assert ",," not in text


@given(ids)
def test_printed_list_is_the_shortest(found):
    ranges = [[int(n) for n in part.split("-")] for part in str(CpuSet(found)).split(",") if part]
    # A gap of at least one id lies between two ranges, else they would be one.
    assert all(left[-1] + 1 < right[0] for left, right in pairwise(ranges))


@given(ids)
def test_mask_of_systemd(found):
    mask = CpuSet(found).to_mask()
    assert CpuSet.from_mask(mask) == CpuSet(found)
    assert not mask.endswith(b"\0")
    assert len(mask) == (max(found) // 8 + 1 if found else 0)


def test_mask_is_little_endian():
    assert CpuSet.parse("0-1,9").to_mask() == bytes([0b11, 0b10])
    assert CpuSet.from_mask(bytes([0b11, 0, 0])) == CpuSet.parse("0-1")


@given(ids, ids)
def test_set_operations_are_those_of_sets_and_keep_the_type(a, b):
    left, right = CpuSet(a), CpuSet(b)
    for operated, expected in (
        (left & right, a & b),
        (left | right, a | b),
        (left - right, a - b),
        (left ^ right, a ^ b),
    ):
        assert set(operated) == expected
        assert isinstance(operated, CpuSet)
    assert (left <= right) == (a <= b)
    assert left.isdisjoint(right) == a.isdisjoint(b)
    assert (left == right) == (a == b)
    assert (hash(left) == hash(right)) or a != b


@given(st.text(alphabet="0123456789,-:/ \n\0", max_size=20))
def test_any_text_is_a_set_or_a_named_error(text):
    try:
        found = CpuSet.parse(text)
    except CpuListError as error:
        assert "range" in str(error) or str(MAX_ID) in str(error)  # noqa: PT017
    else:
        assert CpuSet.parse(str(found)) == found


def test_set_is_immutable():
    with pytest.raises(AttributeError, match="immutable"):
        CpuSet([1])._ids = frozenset()


def test_repr_names_the_kind_of_set():
    assert repr(NodeSet([0, 1])) == "NodeSet('0-1')"
    assert repr(IdSet()) == "IdSet('')"
