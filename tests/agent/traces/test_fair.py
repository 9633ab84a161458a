"""Whose trace is next: tables of who waits, who runs and who had how much."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.traces.fair import HALF_LIFE, NOTHING_YET, Had, Party, party, turns
from numapin_api.trace import NumaTrace

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SHOP, BANK, NODE = ("shop", False), ("bank", False), ("numapin-system", True)


def trace(text: str) -> NumaTrace:
    """``shop 30`` was made 30 s ago in namespace shop; ``node 30`` is about the whole node."""
    where, age = text.split()
    return NumaTrace.read(
        {
            "apiVersion": "numapin.io/v1alpha1",
            "kind": "NumaTrace",
            "metadata": {
                "name": f"{where}-{age}",
                "namespace": "numapin-system" if where == "node" else where,
                "creationTimestamp": NOON - timedelta(seconds=int(age)),
            },
            "spec": {
                "nodeName": "numa-0",
                "podName": None if where == "node" else "redis",
                "probe": "syscalls",
            },
        }
    )


def order(
    waiting: str, running: tuple[Party, ...] = (), had: Had = NOTHING_YET, free: int = 9
) -> str:
    found = turns(map(trace, waiting.split(", ")), running=running, had=had, free=free)
    return ", ".join(one.metadata.name for one in found)


@pytest.mark.parametrize(
    ("waiting", "running", "had", "first"),
    [
        # Of one namespace, and of those that are alike, the oldest.
        ("shop 1, shop 30, shop 20", (), {}, "shop-30, shop-20, shop-1"),
        ("shop 1, bank 30", (), {}, "bank-30, shop-1"),
        # By turns, whoever asks for many.
        ("shop 9, shop 8, shop 7, bank 1", (), {}, "shop-9, bank-1, shop-8, shop-7"),
        ("shop 9, shop 8, bank 2, bank 1", (), {}, "shop-9, bank-2, shop-8, bank-1"),
        ("shop 9, bank 1", (SHOP,), {}, "bank-1, shop-9"),
        ("shop 9, bank 1", (SHOP, BANK), {}, "shop-9, bank-1"),
        # Who had less of the node's time lately comes first.
        ("shop 9, bank 1", (), {SHOP: 10.0}, "bank-1, shop-9"),
        ("shop 9, bank 1", (), {SHOP: 10.0, BANK: 600.0}, "shop-9, bank-1"),
        # What runs now weighs more than what was.
        ("shop 9, bank 1", (SHOP,), {BANK: 600.0}, "bank-1, shop-9"),
        # Whole nodes are one of those that take turns, beside pods of the same namespace.
        ("shop 9, shop 8, node 1", (), {}, "shop-9, node-1, shop-8"),
        ("node 9, node 8, shop 1", (), {}, "node-9, shop-1, node-8"),
        ("numapin-system 9, numapin-system 8, node 1", (), {},
         "numapin-system-9, node-1, numapin-system-8"),
        ("numapin-system 9, shop 1", (NODE,), {NODE: 60.0}, "numapin-system-9, shop-1"),
    ],
)  # fmt: skip
def test_whose_turn_it_is(waiting, running, had, first):
    assert order(waiting, running, Had(had)) == first


@pytest.mark.parametrize("free", [-1, 0, 1])
def test_no_more_begin_than_there_is_room_for(free):
    assert order("shop 9, bank 8, shop 7", free=free) == ("shop-9" if free == 1 else "")


def test_what_a_party_had_is_forgotten_by_and_by():
    had = NOTHING_YET.later(1000.0).ran(SHOP, 60.0, now=1060.0).ran(BANK, 50.0, now=1060.0)
    assert had.later(1060.0 + HALF_LIFE).seconds == {SHOP: 30.0, BANK: 25.0}
    again = had.ran(SHOP, 10.0, now=1060.0 + HALF_LIFE)
    assert again.seconds == {SHOP: 40.0, BANK: 25.0}
    assert again.later(1060.0 + 24 * HALF_LIFE).seconds == {}


@given(
    st.lists(st.sampled_from(["shop", "bank", "node"]), min_size=1, max_size=12),
    st.lists(st.sampled_from([SHOP, BANK, NODE]), max_size=4),
    st.integers(0, 14),
)
def test_nobody_gets_a_second_while_somebody_who_waits_has_fewer(asked, running, free):
    waiting = [trace(f"{who} {age}") for age, who in enumerate(asked)]
    begun = turns(waiting, running=running, had=NOTHING_YET, free=free)
    assert len(begun) == min(free, len(waiting))
    now = [*running, *map(party, begun)]
    for left in {party(one) for one in waiting if one not in begun}:
        for other in map(party, begun):
            assert now.count(other) <= now.count(left) + 1


def test_with_one_at_a_time_everybody_has_about_the_same_time():
    """A day of two namespaces, one with traces of ten minutes and one with such of ten seconds."""
    had, now, spent = NOTHING_YET, 0.0, {SHOP: 0.0, BANK: 0.0}
    waiting = [trace("shop 600"), trace("bank 10")]
    while now < 86400:
        (following,) = turns(waiting, running=(), had=had, free=1)
        who, took = party(following), 600.0 if party(following) == SHOP else 10.0
        now += took
        spent[who] += took
        had = had.ran(who, took, now=now)
    assert spent[SHOP] == pytest.approx(spent[BANK], rel=0.1)
