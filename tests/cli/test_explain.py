"""Every check with its numbers, for pins in every state, and what is advised."""

import json

import pytest
from support.texts import unspaced

from numapin_cli.views.advice import next_steps
from numapin_cli.views.explanation import explain


def row(rendered: str, start: str) -> str:
    """The line that starts so, with single spaces."""
    (line,) = [x for x in map(unspaced, rendered.splitlines()) if x.startswith(start)]
    return line


@pytest.fixture
def explained(pin, numa_node, now):
    """The explanation of a pin that differs so from a verified one."""
    return lambda change: explain(pin(**change), numa_node(), now=now)


def test_a_verified_pod_with_all_numbers(pin, numa_node, now, shown):
    e = explain(pin(), numa_node(), now=now)
    assert {c.name: c.ok for c in e.checks} == {
        "cpus": True,
        "mems": True,
        "containers": True,
        "residency": True,
        "migrations": True,
        "hintFaults": True,
        "activity": True,
        "window": True,
    }
    assert (e.verdict, e.verdict_now, e.local_percent) == ("Verified", "Verified", 99.0)
    said = shown(e)
    assert said.startswith("shop/redis-0 on numa-0: Verified (Measured)\n99.0% of the memory")
    assert row(said, "pod") == "pod 2-3 / 1 2-3 / 1 ok"
    assert row(said, "redis") == "redis within 2-3 / 1 2-3 / 1 ok"
    assert row(said, "ok residency") == "ok residency 99.0% (396.0 MiB of 400.0 MiB) >= 95%"
    assert row(said, "NUMA node 1") == "NUMA node 1 1 200.0 MiB 396.0 MiB 99.0% local"
    assert row(said, "window") == "window 30 s 60 s 60s"
    assert row(said, "NUMA migrations") == "NUMA migrations 1,000.0 pages/s 2.0 pages/s"
    assert row(said, "between sockets") == "between sockets 800.0 pages/s 1.0 pages/s <= 10"
    assert row(said, "time migrating") == "time migrating 20.00 ms/s 0.00 ms/s"
    assert row(said, "task moves") == "task moves between sockets 30.0/s 0.0/s"
    faults = "hint faults local 60.0% of 1,000 99.8% of 6,000 >= 95%"
    assert row(said, "hint faults local") == faults
    assert row(said, "pinMoves") == "pinMoves none no such tracepoint"
    assert row(said, "NUMA balancing") == "NUMA balancing on Linux 6.12.117+deb13-cloud-amd64"
    assert row(said, "threads") == "threads 4 in one process"


def test_what_the_pin_changed(pin, numa_node, now, shown):
    e = explain(pin(), numa_node(), now=now)
    assert [(c.name, c.before, c.after, c.direction) for c in e.effect] == [
        ("pages between sockets", 800.0, 1.0, "better"),
        ("all NUMA migrations", 1000.0, 2.0, "better"),
        ("time migrating", 20.0, 0.0, "better"),
        ("task moves between sockets", 30.0, 0.0, "better"),
        ("local hint faults", 60.0, 99.8, "better"),
        ("memory on its socket", 50.0, 99.0, "better"),
    ]
    said = shown(e)
    assert row(said, "better pages") == "better pages between sockets 800.0 1.0 pages/s -100%"
    assert row(said, "better local") == "better local hint faults 60.0 99.8 %"
    assert not [step for step in next_steps(e) if "worse off" in step]


def test_a_pod_on_several_sockets_names_them_all(pin, numa_node, now, shown):
    split = pin(spec={"socket": 0, "sockets": [0, 1], "cpus": "0-3", "mems": "0-1"})
    e = explain(split, numa_node(), now=now)
    assert e.sockets == (0, 1)
    assert row(shown(e), "sockets") == "sockets 0, 1"


def test_one_bad_window_is_shown_and_overturns_nothing(pin, numa_node, now):
    bad = {"counters": {"crossSocketMigratedPages": 6000}, "windows": 1}
    e = explain(pin(status={"observed": bad, "observedGeneration": 1}), numa_node(), now=now)
    assert [c.name for c in e.checks if c.ok is False] == ["migrations"]
    assert (e.verdict, e.verdict_now) == ("Verified", "Verified")
    bad["windows"] = 2
    e = explain(pin(status={"observed": bad, "observedGeneration": 1}), numa_node(), now=now)
    assert e.verdict_now == "Ineffective"


@pytest.mark.parametrize("verdict", ["Verified", "Ineffective"])
def test_figures_are_those_of_now_while_they_mean_what_the_operator_said(
    pin, numa_node, now, verdict: str
):
    """It brings its own up to date each half hour only; beside the checks' they would mislead."""
    said = {
        "type": "Verified",
        "status": "True",
        "reason": "Measured",
        "message": "99.9% of the memory, half an hour ago",
        "lastTransitionTime": now.isoformat(),
    }
    status = {"verdict": verdict, "conditions": [said]}
    e = explain(pin(status=status), numa_node(), now=now)
    assert e.verdict_now == "Verified"
    residency = next(c for c in e.checks if c.name == "residency")
    assert e.message.startswith(residency.message if verdict == "Verified" else said["message"])


@pytest.mark.parametrize(
    ("before", "after", "shown_as", "direction"),
    [
        (2.0, 1500.0, "page cache refaults 2.0 pages/s 1,500.0 pages/s", "worse"),
        (900.0, 0.0, "page cache refaults 900.0 pages/s 0.0 pages/s", "better"),
        (0.0, 0.9, "page cache refaults 0.0 pages/s 0.9 pages/s", "same"),
        (None, 7.0, "page cache refaults - 7.0 pages/s", None),
        (None, None, "page cache refaults - -", None),
    ],
)
def test_page_cache_before_and_after(
    pin, numa_node, now, shown, *, before, after, shown_as, direction
):
    seen = {
        part: {"pageCacheRefaultsPerSecond": rate}
        for part, rate in (("baseline", before), ("counters", after))
    }
    e = explain(pin(status={"observed": seen}), numa_node(), now=now)
    (line,) = [x for x in map(unspaced, shown(e).splitlines()) if x.startswith("page cache")]
    assert line == shown_as
    found = {c.name: c.direction for c in e.effect}
    assert found.get("page cache refaults") == direction
    advised = [step for step in next_steps(e) if "page cache has less room" in step]
    assert bool(advised) is (direction == "worse")
    assert not advised or "pod redis-0 -n shop numapin.io/memory=None" in advised[0]


def test_harm_is_said_as_plainly(pin, numa_node, now, shown):
    harmed = {
        "crossSocketMigratedPages": 60 * 4000,
        "migratedPages": 60 * 1050,
        "hintFaultPagesLocal": 3000,
        "hintFaultPagesRemote": 3000,
    }
    e = explain(pin(status={"observed": {"counters": harmed}}), numa_node(), now=now)
    directions = {c.name: c.direction for c in e.effect}
    assert directions["pages between sockets"] == "worse"
    assert directions["all NUMA migrations"] == "same"  # a twentieth more
    assert directions["local hint faults"] == "worse"
    assert row(shown(e), "worse pages") == "worse pages between sockets 800.0 4,000.0 pages/s +400%"
    (step,) = [step for step in next_steps(e) if "worse off" in step]
    assert "pages between sockets 800.0 -> 4,000.0 pages/s" in step
    assert "kubectl label pod redis-0 -n shop numapin.io/pin-" in step


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"baseline": None, "baselineMemory": None}, set()),
        ({"counters": None}, {"memory on its socket"}),
        ({"threads": 1}, {"pages between sockets", "memory on its socket"}),
        ({"baseline": {"hintFaultPagesLocal": 1, "hintFaultPagesRemote": 1}}, set()),
    ],
)
def test_what_is_not_comparable_is_left_out(pin, numa_node, now, change, left):
    e = explain(pin(status={"observed": change}), numa_node(), now=now)
    names = {c.name for c in e.effect}
    assert left <= names
    assert "local hint faults" not in names
    assert bool(names) is (change.get("baselineMemory", 0) is not None)


@pytest.mark.parametrize(
    ("level", "told"),
    [("cgroup", "NUMA migrations 1,000.0 pages/s 2.0 pages/s"), ("none", "NUMA migrations not")],
)
def test_what_is_not_counted_there_is_no_zero(pin, numa_node, now, shown, *, level, told):
    """memory.stat has no directions and no times: 0 -> 0 would read as if a pin changed nothing."""
    signals = [{"name": n, "level": level} for n in ("numaMigrations", "hintFaults")]
    signals.append({"name": "taskMigrations", "level": "none"})
    e = explain(pin(), numa_node(status={"capabilities": {"signals": signals}}), now=now)
    names = {c.name for c in e.effect} - {"memory on its socket", "local hint faults"}
    assert names == ({"all NUMA migrations"} if level == "cgroup" else set())
    assert e.after is not None
    assert (e.after.cross_socket_pages_per_second, e.after.migration_ms_per_second) == (None, None)
    said = shown(e)
    assert row(said, "NUMA migrations").startswith(told)
    assert row(said, "between sockets") == "between sockets not counted not counted <= 10"
    assert row(said, "task moves") == "task moves between sockets not counted not counted"
    assert row(said, "hint faults local") == "hint faults local not counted not counted not valid"


def observed(**change):
    return {"status": {"observed": change}}


@pytest.mark.parametrize(
    ("change", "failed", "advice"),
    [
        (observed(effective={"cpus": "0-3", "mems": "1"}), {"cpus"}, "the pod's cpuset is not"),
        (observed(effective={"cpus": "2-3", "mems": "0-1"}), {"mems"}, "the pod's cpuset is not"),
        (
            observed(containers=[{"name": "redis", "cpus": "0-3", "mems": "1"}]),
            {"containers"},
            "static CPU Manager",
        ),
        (
            observed(memory=[{"node": 0, "bytes": 300 << 20}, {"node": 1, "bytes": 100 << 20}]),
            {"residency"},
            "restart the pod",
        ),
        (
            observed(counters={"crossSocketMigratedPages": 6000}),
            {"migrations"},
            "pages still cross sockets",
        ),
        (
            observed(counters={"hintFaultPagesLocal": 3000, "hintFaultPagesRemote": 3000}),
            {"hintFaults"},
            "granularity NumaNode",
        ),
    ],
)
def test_what_speaks_against_a_pin(explained, shown, change, failed, advice):
    change["status"]["verdict"] = "Ineffective"
    e = explained(change)
    assert {c.name for c in e.checks if c.ok is False} == failed
    assert e.verdict_now == "Ineffective"
    steps = next_steps(e)
    assert any(advice in step for step in steps)
    said = shown(e.model_copy(update={"next": steps}))
    assert "FAIL" in said
    (check,) = [c for c in e.checks if c.ok is False]
    assert unspaced(check.message) in unspaced(said)


@pytest.mark.parametrize(
    ("change", "verdict", "advice"),
    [
        (observed(phase="Waiting"), "Pending", "until the pod's containers start"),
        (observed(phase="Baseline"), "Pending", "counters before the pin"),
        (
            observed(phase="Moving", moving={"bytesDone": 1 << 30, "bytesTotal": 4 << 30}),
            "Pending",
            "1.0 GiB of 4.0 GiB done",
        ),
        (observed(counters=None), "Pending", "a whole window of 60s"),
        (
            observed(
                drift={"cpus": "0-3", "mems": "0", "count": 3, "time": "2026-11-23T11:59:59Z"}
            ),
            "Drifted",
            "something else writes this pod's cpuset",
        ),
        (
            observed(counters={"cpuNanoseconds": 0, "hintFaultPagesLocal": 0}),
            "NoSignal",
            "an idle pod proves nothing",
        ),
        (
            observed(
                phase="Refused", problem={"reason": "Conflict", "message": "exclusive CPUs"}
            ),
            "Conflict",
            "choose one of them",
        ),
        (
            observed(phase="Refused", problem={"reason": "NoRoom", "message": "8 GiB of 3"}),
            "Unplaceable",
            "make room",
        ),
        ({"spec": {"mode": "Observe"}}, "Observing", "set mode Enforce in policy databases"),
    ],
)  # fmt: skip
def test_what_to_do_in_every_state(explained, shown, change, verdict, advice):
    change = {**change, "status": {**change.get("status", {}), "verdict": verdict}}
    e = explained(change)
    assert e.verdict_now == verdict
    steps = next_steps(e)
    assert any(advice in step for step in steps), steps
    assert shown(e.model_copy(update={"next": steps})).startswith(
        f"shop/redis-0 on numa-0: {verdict}"
    )


def test_hint_faults_that_are_not_valid_say_why(pin, numa_node, now, shown):
    e = explain(pin(**observed(threads=1)), numa_node(), now=now)
    (check,) = [c for c in e.checks if c.name == "hintFaults"]
    assert check.ok is None
    said = shown(e)
    assert row(said, "hint faults local").endswith(" not valid")
    assert "one thread" in unspaced(said)


def test_a_pod_that_could_not_be_placed_has_a_failed_check(pin, numa_node, now, shown):
    refused = pin(
        spec={"socket": None, "cpus": None, "mems": None},
        status={
            "observed": None,
            "verdict": "Invalid",
            "evidence": None,
            "conditions": [
                {
                    "type": "Pinned",
                    "status": "False",
                    "reason": "InvalidAnnotation",
                    "message": 'annotation numapin.io/socket is "seven"; allowed are 0, 1',
                    "lastTransitionTime": "2026-11-23T11:00:00Z",
                }
            ],
        },
    )
    e = explain(refused, numa_node(), now=now)
    assert [(c.name, c.ok, c.found) for c in e.checks] == [
        ("placement", False, "InvalidAnnotation")
    ]
    assert e.message == 'annotation numapin.io/socket is "seven"; allowed are 0, 1'
    assert "kubectl annotate pod redis-0 -n shop" in next_steps(e)[0]
    assert "shop/redis-0 on numa-0: Invalid" in shown(e)


def test_operator_and_checks_that_disagree_are_told(pin, numa_node, now):
    e = explain(pin(status={"verdict": "Pending"}), numa_node(), now=now)
    assert any("now say Verified, the operator last said Pending" in s for s in next_steps(e))


def test_nothing_known_of_node_or_status(pin, now, shown):
    e = explain(pin(status=None), None, now=now)
    assert (e.verdict, e.verdict_now) == (None, "Pending")
    assert "first report" in next_steps(e)[0]
    assert "the agent of node numa-0 has not reported yet" in shown(e)


BORROWED = [
    {"path": "/data/model.bin", "node": 0, "bytes": 128 << 20, "pods": ["web-0", "web-1"]},
    {"path": "/usr/lib/[b]x", "node": 0, "bytes": 9 << 20, "pods": ["web-0"], "others": 2},
    {"path": "/srv/only", "node": 2, "bytes": 5 << 20, "others": 1},
    {"path": "/srv/nobody", "node": 0, "bytes": 5 << 20},
]


def test_files_that_others_are_charged_for(explained, shown):
    e = explained({"status": {"observed": {"borrowed": BORROWED}}})
    lines = [unspaced(line) for line in shown(e).splitlines()]
    start = lines.index("Files that others are charged for, by a sample")
    assert lines[start + 1 : start + 6] == [
        "socket about file also mapped by",
        "NUMA node 0 0 128.0 MiB /data/model.bin web-0, web-1",
        "NUMA node 0 0 9.0 MiB /usr/lib/[b]x web-0, 2 more",
        "NUMA node 2 - 5.0 MiB /srv/only 1 more",
        "NUMA node 0 0 5.0 MiB /srv/nobody -",
    ]
    assert "have this pod read them first" in next_steps(e)[-1]
    assert e.verdict_now == "Verified"


def test_a_long_path_of_such_a_file_keeps_to_the_screen(explained, shown):
    """``shown`` looks at the width."""
    long = BORROWED[0] | {"path": "/" + "d" * 250, "pods": ["w" * 200]}
    said = shown(explained({"status": {"observed": {"borrowed": [long]}}}))
    assert said.count("d") > 250


def test_no_such_files_no_section(explained, shown):
    assert "charged" not in shown(explained({}))


def test_such_files_in_json(explained):
    e = explained({"status": {"observed": {"borrowed": BORROWED}}})
    found = e.model_dump(mode="json", by_alias=True)["borrowed"]
    assert found[0] == BORROWED[0] | {"socket": 0, "others": 0}
    assert found[2] == BORROWED[2] | {"socket": None, "pods": []}


def test_json_has_every_key_even_without_a_value(pin, numa_node, now):
    full = explain(pin(), numa_node(), now=now).model_dump(mode="json", by_alias=True)
    bare = explain(pin(status=None), None, now=now).model_dump(mode="json", by_alias=True)
    assert full.keys() == bare.keys()
    assert {"crossSocketPagesPerSecond", "migrationMsPerSecond"} <= full["after"].keys()
    json.dumps(full)
