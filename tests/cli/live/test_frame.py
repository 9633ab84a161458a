"""Rows of numapin top, their order, and tables that fit."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from support.machines import machine

from numapin_api.topology import Topology
from numapin_cli.live.frame import Look, frame
from numapin_cli.live.rows import SORTS, PodRow, ordered
from numapin_cli.live.values import AgentReading, Counts, Gathered, PairCounts, PodReading
from numapin_cli.views.columns import Column, fitting
from numapin_cli.views.top import body, headline, number

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
# Two sockets of two NUMA nodes each, and memory without CPUs.
SNC = machine("S0[N0 0-1 1G, N1 2-3 1G] S1[N2 4-5 1G, N3 6-7 1G] N4 - 1G")
REDIS, WEB = ("shop", "redis-0"), ("web", "front-0")


def readings(*, pairs: bool = True) -> tuple[AgentReading, AgentReading]:
    """Ten seconds in which redis moves pages and the front only runs."""
    moved = {
        (0, 1): PairCounts(100, 0.1, 10),
        (0, 2): PairCounts(300, 0.3, 20),
        (1, 3): PairCounts(200, 0.2, 30),
        (None, 0): PairCounts(50, 0.05),
        (2, 4): PairCounts(10, 0.01, 1),
    }
    memory = {0: 3 << 30, 1: 1 << 30}
    before = {
        REDIS: PodReading(Counts(cpu_seconds=0), memory),
        WEB: PodReading(Counts(5, cpu_seconds=1), {0: 1 << 20}, pinned=True, socket=1, threads=2),
        ("shop", "gone"): PodReading(Counts()),
    }
    redis = Counts(660, 510, 0.66, 300, 100, 26, cpu_seconds=15, pairs=moved if pairs else {})
    after = {
        REDIS: PodReading(redis, memory, threads=9),
        WEB: PodReading(Counts(5, cpu_seconds=2), {0: 1 << 20}, pinned=True, socket=1, threads=2),
        ("shop", "new"): PodReading(Counts(7)),
    }
    return AgentReading(100, before, alive=True), AgentReading(110, after, alive=True)


def made(*, namespace: str | None = None, pairs: bool = True, topology: Topology | None = SNC):
    first, last = readings(pairs=pairs)
    return frame(
        {"numa-0": first},
        Gathered({"numa-0": last}, {"numa-9": "no agent runs there"}),
        topologies={} if topology is None else {"numa-0": topology},
        namespace=namespace,
        now=NOW,
    )


def test_what_a_pod_does_per_second():
    rows = {r.name: r for r in made().pods}
    assert rows.keys() == {"redis-0", "front-0", "new"}
    redis = rows["redis-0"]
    assert (redis.seconds, redis.migrated_pages_per_second) == (10, 66)
    assert redis.cross_socket_pages_per_second == 51
    assert redis.migration_ms_per_second == pytest.approx(66)
    assert (redis.local_percent, redis.cpu_percent) == (75, 150)
    assert redis.remote_hint_fault_pages_per_second == 10
    assert (redis.pinned, rows["front-0"].pinned, rows["front-0"].socket) == (None, True, 1)


def test_zero_is_said_only_of_what_was_counted_twice():
    rows = {r.name: r for r in made().pods}
    assert rows["front-0"].migrated_pages_per_second == 0
    assert (rows["new"].seconds, rows["new"].migrated_pages_per_second) == (None, None)
    assert rows["redis-0"].cpu_percent is not None
    assert rows["new"].cpu_percent is None


def test_pairs_of_sockets_with_the_numa_nodes_of_each_put_together():
    pairs = {(p.from_socket, p.to_socket): p for p in made().pairs}
    assert {way: p.kind for way, p in pairs.items()} == {
        (0, 0): "within",
        (0, 1): "cross",
        (1, None): "unknown",
        (None, 0): "unknown",
    }
    across = pairs[0, 1]
    assert across.migrated_pages_per_second == pytest.approx(50)
    assert across.migration_ms_per_second == pytest.approx(50)
    assert across.hint_fault_pages_per_second == pytest.approx(5)


@pytest.mark.parametrize("found", [made(pairs=False), made(topology=None)])
def test_sums_where_pairs_are_not_told_apart(found):
    said = {
        p.kind: (p.migrated_pages_per_second, p.hint_fault_pages_per_second) for p in found.pairs
    }
    assert said == {"cross": (51, 10), "within": (15, 30)}
    assert all(p.from_socket is None and p.migration_ms_per_second is None for p in found.pairs)


FILES = Counts(100_000, None, None, None, None, None)
"""What an agent counts from memory.stat."""


def of_files(counts: Counts):
    before = Counts(*(None if part is None else 0 for part in (FILES.pages, *[None] * 5)))
    if counts.hints is not None:
        before = replace(before, hint_local=0, hint_remote=0)
    first = AgentReading(100, {REDIS: PodReading(before)})
    return frame(
        {"numa-0": first},
        Gathered({"numa-0": AgentReading(110, {REDIS: PodReading(counts)})}, {}),
        topologies={"numa-0": SNC},
        namespace=None,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (FILES, {("unknown", None, None): (10_000, None)}),
        (
            replace(FILES, hint_local=30, hint_remote=10),
            {
                ("cross", None, None): (None, 1),
                ("within", None, None): (None, 3),
                ("unknown", None, None): (10_000, None),
            },
        ),
        (
            replace(
                FILES, hint_local=30, hint_remote=10, pairs={(0, 2): PairCounts(hint_pages=10)}
            ),
            {("cross", 0, 1): (None, 1), ("unknown", None, None): (10_000, None)},
        ),
    ],
)
def test_pages_whose_way_is_not_counted_stay_within_no_socket(counts, said):
    found = of_files(counts)
    assert {
        (p.kind, p.from_socket, p.to_socket): (
            p.migrated_pages_per_second,
            p.hint_fault_pages_per_second,
        )
        for p in found.pairs
    } == said
    (row,) = found.pods
    assert row.migrated_pages_per_second == 10_000
    assert row.cross_socket_pages_per_second is None
    assert row.migration_ms_per_second is None
    assert any("pages that change socket are not counted" in r.message for r in found.remarks)


def test_only_the_namespace_that_is_meant_in_both_tables():
    found = made(namespace="web")
    assert [r.name for r in found.pods] == ["front-0"]
    assert sum(p.migrated_pages_per_second for p in found.pairs) == 0


@pytest.mark.parametrize(
    ("first", "last", "remark"),
    [
        (None, {}, "asked for the first time"),
        ({}, {"alive": False}, "zeros mean nothing"),
        ({"since": 1.0}, {"since": 2.0}, "its agent was started anew"),
        ({"lost": 1.0}, {"lost": 4.0}, "3 events were lost: rates are too low"),
        ({}, {"pods": {REDIS: PodReading()}}, "nothing is counted there"),
    ],
)
def test_what_must_not_be_taken_at_its_word_is_said(first, last, remark):
    found = frame(
        {} if first is None else {"n": AgentReading(1, **first)},
        Gathered({"n": AgentReading(2, **last)}, {}),
        topologies={},
        namespace=None,
        now=NOW,
    )
    assert [r.node for r in found.remarks] == ["n"]
    assert remark in found.remarks[0].message


def test_nothing_is_remarked_when_all_is_well():
    assert made().remarks == []


amounts = st.none() | st.floats(0, 1e9)
rows = st.lists(
    st.builds(
        PodRow,
        namespace=st.sampled_from("ab"),
        name=st.text("xyz", min_size=1, max_size=3),
        node=st.just("n"),
        pinned=st.none(),
        socket=st.none(),
        seconds=st.just(2.0),
        threads=st.none(),
        memory=st.just([]),
        memory_bytes=st.integers(0, 1 << 40),
        migration_ms_per_second=amounts,
        cross_socket_pages_per_second=amounts,
        local_percent=st.none() | st.floats(0, 100),
        cpu_percent=amounts,
        migrated_pages_per_second=amounts,
        cross_socket_task_migrations_per_second=amounts,
        remote_hint_fault_pages_per_second=amounts,
    )
)


@given(rows, st.sampled_from(SORTS), st.booleans(), st.randoms())
def test_any_order_keeps_all_rows_and_depends_on_nothing_else(rows, sort, reverse, random):
    def identity(r):
        return (r.namespace, r.name, r.node)

    found = ordered(rows, sort, reverse=reverse)
    assert sorted(map(identity, found)) == sorted(map(identity, rows))
    if len(set(map(identity, rows))) == len(rows):
        shuffled = random.sample(rows, len(rows))
        assert ordered(shuffled, sort, reverse=reverse) == found


@given(rows, st.booleans())
def test_what_is_not_known_stands_last_in_either_direction(rows, reverse):
    found = [r.migration_ms_per_second for r in ordered(rows, "time", reverse=reverse)]
    known = [v for v in found if v is not None]
    assert found == known + [None] * (len(found) - len(known))
    assert known == sorted(known, reverse=not reverse)


def test_the_least_local_first():
    base = made().pods[0]
    found = [
        base.model_copy(update={"name": n, "local_percent": p})
        for n, p in (("a", 99.0), ("b", None), ("c", 40.0))
    ]
    assert [r.name for r in ordered(found, "local")] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "-"),
        (0, "0"),
        (0.04, "0"),
        (0.05, "0.1"),
        (17.24, "17.2"),
        (99.96, "100"),
        (3838.2, "3,838"),
        (99_999, "99,999"),
        (123_456, "123k"),
    ],
)
def test_numbers_in_few_characters(value, said):
    assert number(value) == said


def test_the_table_of_pods(text):
    found = made()
    said = text(body(found, Look(), namespaces=True, width=120), 120)
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[0] == "numa-9: no agent runs there"
    assert lines[1] == (
        "NAMESPACE POD PIN MS/S CROSS/S PAGES/S TASKS/S REMOTE/S LOCAL CPU MEMORY BY NODE"
    )
    assert lines[2] == "shop redis-0 - 66.0 51.0 66.0 2.6 10.0 75% 150% 4.0 GiB 75/25"
    assert lines[3] == "web front-0 1 0 0 0 0 0 - 10% 1.0 MiB 100"


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_it_fits_any_terminal_and_wraps_nothing(text, width):
    # the fixture itself fails on a line that is too long
    said = text(body(made(), Look(), namespaces=True, width=width), width)
    assert len(said.splitlines()) == 1 + 1 + 3
    assert "redis-0" in said
    assert "CROSS/S" in said


def test_pairs_are_shown_by_their_sockets(text):
    said = text(body(made(), Look(by="pair"), namespaces=True, width=80))
    assert "numa-0 0 > 1" in " ".join(said.split())
    assert "? > 0" in said
    sums = text(body(made(pairs=False), Look(by="pair"), namespaces=True, width=80))
    assert "between sockets" in sums


def test_as_many_rows_as_the_terminal_has_lines(text):
    base = made().pods[0]
    many = made().model_copy(
        update={"pods": [base.model_copy(update={"name": f"p{i}"}) for i in range(50)]}
    )
    said = text(body(many, Look(), namespaces=False, width=80, height=12)).splitlines()
    assert len(said) == 12
    assert said[-1].strip() == "41 more"
    whole = text(
        Group(headline(many, Look(), interval=2), body(many, Look(), namespaces=False, width=80))
    )
    assert "51 pods" not in whole
    assert "50 pods on 2 nodes - every 2s - by time" in whole
    assert len(whole.splitlines()) == 1 + 1 + 1 + 50


def test_no_pods_at_all_is_said(text):
    none = made().model_copy(update={"pods": [], "pairs": []})
    assert "no pods" in text(body(none, Look(), namespaces=True, width=80))
    assert "nothing has been counted twice" in text(
        body(none, Look(by="pair"), namespaces=True, width=80)
    )


@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(1, 12)), min_size=1, max_size=9),
    st.lists(st.integers(0, 30), max_size=4),
    st.integers(10, 120),
)
def test_columns_go_by_their_rank_and_the_rest_fits(shape, rows, width):
    columns = [
        Column(title=f"C{i}", cell=lambda n: "x" * n, rank=rank, least=least)
        for i, (rank, least) in enumerate(shape)
    ]
    shown = fitting(columns, rows, width)
    kept = [c for c, _ in shown]
    assert kept == [c for c in columns if c in kept]
    gone = [c for c in columns if c not in kept]
    if gone:
        assert max((c.rank for c in kept), default=0) <= min(c.rank for c in gone)
        assert all(c.rank for c in gone)
    if any(c.rank for c in kept):
        assert sum(w + 1 for _, w in shown) - 1 <= width


@pytest.mark.parametrize(
    ("keys", "look"),
    [
        ("", Look()),
        (">", Look("cross")),
        ("<", Look("name")),
        (["\x1b[C", "\x1b[C"], Look("pages")),
        (["\x1b[D"], Look("name")),
        ("r", Look(reverse=True)),
        ("rR", Look()),
        ("p", Look(by="pair")),
        ("pp", Look()),
        ("q", Look(ended=True)),
        ("x\x1b", Look()),
    ],
)
def test_keys(keys, look):
    seen = Look()
    for key in keys:
        seen = seen.pressed(key)
    assert seen == look


def test_data_is_in_the_order_that_was_asked_for():
    data = made().data(Look("name", reverse=True))
    assert [p["name"] for p in data["pods"]] == ["front-0", "redis-0", "new"]
    assert data["pods"][1]["pairs"][0]["fromNumaNode"] == 0
    assert data["time"] == "2026-11-25T12:00:00Z"
    assert data["problems"] == [{"node": "numa-9", "message": "no agent runs there"}]
