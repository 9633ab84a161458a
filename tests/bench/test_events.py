"""How long a program's longest way is, and what of a measurement is shown against the budget."""

import math
import struct

import pytest
from bench.events import rows
from bench.guest.events import events, longest

MOVE, EXIT, CALL = 0xB7, 0x95, 0x85
IF_EQUAL, GO, GO_FAR = 0x15, 0x05, 0x06
LOAD_64 = 0x18


def code(*instructions: tuple[int, ...]) -> bytes:
    """Each is an opcode, the offset that it jumps by, an immediate and a source register."""
    made = b""
    for opcode, *more in instructions:
        offset, immediate, source = (*more, 0, 0, 0)[:3]
        made += struct.pack("=BBhi", opcode, source << 4, offset, immediate)
        made += bytes(8) if opcode == LOAD_64 else b""
    return made


@pytest.mark.parametrize(
    ("program", "found"),
    [
        pytest.param(code((MOVE,), (EXIT,)), (2, 0), id="straight"),
        pytest.param(code((LOAD_64,), (EXIT,)), (2, 0), id="two words are one instruction"),
        pytest.param(
            code((IF_EQUAL, 2), (MOVE,), (MOVE,), (EXIT,)), (4, 0), id="what is skipped counts"
        ),
        pytest.param(
            code((IF_EQUAL, 2), (MOVE,), (EXIT,), (CALL, 0, 1), (MOVE,), (EXIT,)),
            (4, 1),
            id="the longer of two ends",
        ),
        pytest.param(
            code((GO, 2), (MOVE,), (EXIT,), (MOVE,), (GO, -4)), (5, 0), id="a block stands before"
        ),
        pytest.param(code((GO_FAR, 0, 1), (MOVE,), (EXIT,)), (2, 0), id="a far jump"),
    ],
)
def test_longest_way(program: bytes, found: tuple[int, int]) -> None:
    assert longest(program) == found


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (code((MOVE,), (IF_EQUAL, -2), (EXIT,)), "instruction 1 goes back to 0"),
        (code((CALL, 0, 1, 1), (EXIT,)), "a function of the program's own"),
    ],
)
def test_ways_that_are_not_told(program: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        longest(program)


def test_a_migrations_reason_is_its_last_argument() -> None:
    macros = {"MIGRATE_END_REASON_ARG": 7, "REASON_NUMA": 5, "REASON_SYSCALL": 3}
    found = events(macros)
    assert found["page migrated by NUMA balancing"][-1] == ("migrate_end", (1, *[0] * 6, 5))
    assert found["page moved by a system call"] == [("migrate_end", (1, *[0] * 6, 3))]


def cost(nanoseconds: int, *, event: str = "a fault", hot: bool = True) -> dict[str, object]:
    return {
        "program": "hint_fentry",
        "event": event,
        "runs": 100,
        "nanoseconds": nanoseconds,
        "instructions": 110,
        "calls": 8,
        "jited_bytes": 600,
        "hot": hot,
    }


def said(*costs: dict[str, object], kind: str = "2 NUMA nodes", alone: int = 5000):
    nothing = {"runs": 100, "nanoseconds": alone}
    return {"kernel": "6.12", "nothing": nothing, "kinds": {kind: list(costs)}}


@pytest.mark.parametrize(
    ("got", "budgets", "value", "met"),
    [
        (said(cost(20_000)), True, 150, True),
        (said(cost(20_100)), True, 151, False),
        (said(cost(20_100)), False, 151, None),
        (said(cost(20_100, hot=False)), True, 151, None),
        (said(cost(20_100), kind="2 NUMA nodes, cgroup v1"), True, 151, None),
    ],
)
def test_hot_events_are_held_against_the_budget(got, budgets, value, met) -> None:
    alone, spent, long = rows("native", got, budgets=budgets)
    assert (alone.value, alone.unit) == (50, "ns/event")
    assert (spent.value, spent.met, bool(spent.goal)) == (value, met, met is not None)
    assert (long.value, long.unit) == (110, "instructions/event")
    assert "8 calls of helpers" in long.what


def test_without_statistics_there_are_instructions_only() -> None:
    _, spent, long = rows("native", said(cost(0), alone=0), budgets=True)
    assert math.isnan(spent.value)
    assert spent.met is None
    assert long.value == 110


def test_a_program_that_was_not_run_has_its_length_only() -> None:
    _, long = rows("native", said(cost(0, event="")), budgets=True)
    assert long.value == 110
