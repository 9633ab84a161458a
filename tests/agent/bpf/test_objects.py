"""Compiled programs kept apart from their maps: any program survives the journey unchanged."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.bpf.compiler import (
    CompileError,
    NoCompilerError,
    build,
    fingerprint,
    keep,
)
from numapin_agent.bpf.objects import (
    MapSpec,
    Object,
    ObjectError,
    detach,
    references,
    relocate,
)

COUNTERS = MapSpec("numaMigrations", 5, 8, 32, 2048)
TOTALS = MapSpec("totals", 6, 4, 8, 2)


def load_map(register: int, fd: int) -> bytes:
    return struct.pack("=BBhi", 0x18, 0x10 | register, 0, fd) + bytes(8)


def load_number(register: int, low: int, high: int) -> bytes:
    """LD_IMM64 of a plain number, whose second half may look like any instruction."""
    return struct.pack("=BBhi", 0x18, register, 0, low) + struct.pack("=BBhi", 0, 0, 0, high)


MOVE_ZERO = struct.pack("=BBhi", 0xB7, 0, 0, 0)
EXIT = struct.pack("=BBhi", 0x95, 0, 0, 0)
I32 = st.integers(-(1 << 31), (1 << 31) - 1)
REGISTER = st.integers(0, 9)
instructions = st.lists(
    st.one_of(
        st.tuples(st.just("map"), REGISTER, st.integers(3, 9)),
        st.builds(load_number, REGISTER, I32, I32),
        st.just(MOVE_ZERO),
    ),
    max_size=20,
)


def assemble(parts) -> bytes:
    code = b"".join(p if isinstance(p, bytes) else load_map(p[1], p[2]) for p in parts)
    return code + EXIT


def test_recorded_program():
    """r1 = map 7; r2 = 0x1700000017 (no map); r3 = map 4; exit"""
    code = load_map(1, 7) + load_number(2, 0x17, 0x17) + load_map(3, 4) + EXIT
    assert list(references(code)) == [(0, 7), (32, 4)]
    made = detach({"f": code}, {7: COUNTERS, 4: TOTALS}.__getitem__)
    assert made.maps == (COUNTERS, TOTALS)
    assert list(references(made.programs["f"])) == [(0, 0), (32, 1)]
    assert made.linked("f", [11, 12]) == relocate(code, {7: 11, 4: 12}.__getitem__)


@given(st.dictionaries(st.text(min_size=1, max_size=5), instructions, min_size=1, max_size=3))
def test_a_kept_program_linked_to_the_same_maps_is_the_same_program(parts):
    programs = {name: assemble(p) for name, p in parts.items()}
    spec = {fd: MapSpec(f"map{fd}", 1, 4, 8, fd) for fd in range(3, 10)}
    made = Object.decode(detach(programs, spec.__getitem__).encode())
    fds = [one.max_entries for one in made.maps]
    assert {name: made.linked(name, fds) for name in programs} == programs
    assert len(set(made.maps)) == len(made.maps)


@given(st.data())
def test_a_text_cut_anywhere_is_refused(data):
    text = detach({"f": load_map(1, 7) + EXIT}, lambda _: COUNTERS).encode()
    with pytest.raises(ObjectError):
        Object.decode(text[: data.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '{"maps": []}',
        '{"maps": [{"name": "x"}], "programs": {}}',
        '{"maps": [], "programs": {"f": "no base64!"}}',
        '{"maps": [], "programs": {"f": "AAAA"}}',
        Object((), {"f": load_map(1, 0)}).encode(),
    ],
)
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ObjectError, match="no kept object"):
        Object.decode(text)


SOURCE = "what no compiler takes"
MACROS = {"MAX_CPUS": 4}


def test_a_kept_object_is_used_without_any_compiler(tmp_path):
    made = Object((TOTALS,), {"migrate_end": load_map(1, 0) + EXIT})
    keep(
        tmp_path / "new" / f"bpf-{fingerprint(SOURCE, MACROS, ['migrate_end'])}.json",
        made,
    )
    assert build(SOURCE, MACROS, ["migrate_end"], store=tmp_path / "new") == made
    assert [f.suffix for f in (tmp_path / "new").iterdir()] == [".json"]


def test_other_macros_or_programs_are_other_objects(tmp_path):
    made = Object((TOTALS,), {"migrate_end": load_map(1, 0) + EXIT})
    keep(tmp_path / f"bpf-{fingerprint(SOURCE, MACROS, ['migrate_end'])}.json", made)
    for macros, names in (({"MAX_CPUS": 5}, ["migrate_end"]), (MACROS, ["no_such_program"])):
        with pytest.raises((NoCompilerError, CompileError)):
            build(SOURCE, macros, names, store=tmp_path)


def test_fingerprints_differ_by_all_that_matters():
    prints = {
        fingerprint(text, macros, names)
        for text in ("int a;", "int b;")
        for macros in ({}, {"A": 1}, {"A": 2}, {"A": 1, "B": 2})
        for names in ((), ("f",), ("f", "g"))
    }
    assert len(prints) == 24
    assert fingerprint("", {"A": 1, "B": 2}, ["f", "g"]) == fingerprint(
        "", {"B": 2, "A": 1}, ["g", "f"]
    )
