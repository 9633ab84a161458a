"""What holds of a verdict beside the rows of its table, and the texts that `explain` shows."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.reports import DRIFT, SPEC, START, WIDE, counters, eyes, memory, observed, spec

from numapin_api.pin import Counters, CpusMems, Observed
from numapin_api.policy import Verification
from numapin_operator.checks import MIN_HINT_FAULT_PAGES, Eyes
from numapin_operator.verdict import Judgement, Refusal, judge


@pytest.mark.parametrize("verdict", ["Unplaceable", "Invalid", "Pending", "Ineffective"])
def test_a_refusal_is_the_verdict(verdict):
    refusal = Refusal("NoRoom", "socket 0 is full", verdict)
    found = judge(spec(socket=None), observed(), refusal=refusal)
    assert found == Judgement(verdict, "socket 0 is full")


@pytest.mark.parametrize(
    ("window", "minutes", "verdict"),
    [
        (1, 0, "Verified"),
        (1, 38, "Verified"),
        (1, 38.1, "NoSignal"),
        (1, 9999, "NoSignal"),
        # Published whole, again each 15 minutes until the next one is whole: two hours after its
        # begin, three when the agent was restarted at the end of that.
        (60, 85.1, "Verified"),
        (60, 130, "Verified"),
        (60, 190, "Verified"),
        (60, 215, "Verified"),
        (60, 215.1, "NoSignal"),
    ],
)
def test_an_agent_that_falls_silent_proves_nothing_any_more(
    window: int, minutes: float, verdict: str
):
    terms = Verification(window=f"{window}m")
    report = observed(counters=counters(seconds=60.0 * window, cpu_nanoseconds=10**12))
    now = START + timedelta(minutes=minutes)
    found = judge(spec(verification=terms), report, seen=eyes(), now=now)
    assert found.verdict == verdict


BLIND = eyes(migrations="none", faults="none")
UNCOUNTED = observed(counters=None, time=START)


@pytest.mark.parametrize(
    ("report", "sight", "alive"),
    [
        pytest.param(UNCOUNTED, BLIND, "Verified", id="nothing can be counted there"),
        pytest.param(UNCOUNTED, eyes(), "Pending", id="no window yet"),
        pytest.param(UNCOUNTED, Eyes(), "Pending", id="it has not said what it can count"),
        pytest.param(observed(time=START), eyes(), "Verified", id="counted"),
        pytest.param(observed(phase="Moving", time=START), eyes(), "Pending", id="moving"),
        pytest.param(observed(phase="Waiting", time=START), eyes(), "Pending", id="waiting"),
        pytest.param(observed(phase="Baseline", time=START), eyes(), "Pending", id="baseline"),
        # What it said last is bad enough, or does not wait for it.
        pytest.param(
            UNCOUNTED.model_copy(update={"memory": memory(N0=300, N1=100)}),
            BLIND,
            "Ineffective",
            id="memory on the other socket",
        ),
        pytest.param(
            UNCOUNTED.model_copy(update={"effective": WIDE}),
            BLIND,
            "Ineffective",
            id="not in force",
        ),
        pytest.param(observed(phase="Unpinned", time=START), eyes(), "Pending", id="given back"),
    ],
)
def test_a_report_that_is_not_repeated_is_believed_no_longer(
    report: Observed, sight: Eyes, alive: str
):
    """An agent dates its reports, so that it need not count to be known alive."""
    lasting = alive == "Ineffective" or report.phase == "Unpinned"
    for minutes, verdict in ((0, alive), (35, alive), (35.1, alive if lasting else "NoSignal")):
        now = START + timedelta(minutes=minutes)
        found = judge(SPEC, report, seen=sight, now=now)
        assert (minutes, found.verdict) == (minutes, verdict)
        assert ("reported nothing for 35 minutes" in found.message) is (found.verdict == "NoSignal")
        undated = report.model_copy(update={"time": None, "counters": None})
        if report.counters is None:
            assert judge(SPEC, undated, seen=sight, now=now).verdict == alive


def test_a_pin_of_several_sockets_needs_a_living_agent_too():
    wanted = spec(socket=0, sockets=[0, 1], cpus="0-7", mems="0-1")
    report = observed(effective=WIDE, containers=[], time=START)
    verdicts = [
        judge(wanted, report, seen=eyes(), now=START + timedelta(minutes=m)).verdict
        for m in (35, 35.1)
    ]
    assert verdicts == ["Verified", "NoSignal"]


def test_figures_are_those_of_the_status():
    found = judge(SPEC, observed(counters=counters(cross_socket_migrated_pages=90)), seen=eyes())
    assert found.local_percent == 99.7  # 399 of 400 MiB, never rounded up
    assert found.cross_socket_pages_per_second == 1.5
    assert (
        judge(SPEC, observed(), seen=eyes(migrations="none")).cross_socket_pages_per_second is None
    )


@pytest.mark.parametrize(("off", "verdict"), [(3, "Verified"), (4, "Verified"), (5, "Ineffective")])
def test_what_can_not_be_moved_does_not_fail_a_small_pod(off: int, verdict: str):
    seen = observed(memory=memory(N0=off, N1=6))
    assert judge(SPEC, seen, seen=eyes()).verdict == verdict


def test_local_share_is_never_rounded_up_to_the_limit():
    seen = observed(memory=memory(N0=504, N1=9496))  # 94.96 %
    found = judge(SPEC, seen, seen=eyes())
    assert (found.verdict, found.local_percent) == ("Ineffective", 94.9)


def test_every_contradicted_check_is_named():
    seen = observed(
        memory=memory(N0=200, N1=200),
        counters=counters(cross_socket_migrated_pages=6000, hint_fault_pages_remote=990),
    )
    message = judge(SPEC, seen, seen=eyes()).message
    assert message == (
        "50.0% of the memory (200.0 MiB of 400.0 MiB) is on NUMA nodes 1; "
        "cross-socket migrations: 100.0 pages/s over 60 s; "
        "50.0% of 1980 sampled pages were local to the CPU that touched them"
    )


def test_checks_are_what_explain_shows():
    found = judge(SPEC, observed(), seen=eyes())
    assert [(c.name, c.ok, c.found, c.wanted) for c in found.checks] == [
        ("cpus", True, "4-7", "within 4-7"),
        ("mems", True, "1", "1"),
        ("containers", True, "main: 4-7", "within 4-7, memory within 1"),
        ("residency", True, "99.7% (399.0 MiB of 400.0 MiB)", ">= 95%"),
        ("migrations", True, "0.0 pages/s", "<= 10 pages/s"),
        (
            "hintFaults",
            True,
            "99.0% of 1000 pages",
            f">= 95% of at least {MIN_HINT_FAULT_PAGES} pages",
        ),
        ("activity", True, "50.0% of a CPU", ">= 0.1% of a CPU"),
        ("window", True, "60 s", "60 s"),
    ]


@given(
    st.builds(
        Observed,
        generation=st.just(1),
        phase=st.sampled_from(["Pinned", "Moving", "Refused", "Observing"]),
        effective=st.none() | st.just(WIDE) | st.just(CpusMems(cpus="4-7", mems="1")),
        memory=st.sampled_from([[], memory(N0=1), memory(N1=1), memory(N0=1, N1=99)]),
        threads=st.none() | st.integers(0, 3),
        drift=st.none() | st.just(DRIFT),
        counters=st.none()
        | st.builds(
            Counters,
            since=st.just(START),
            seconds=st.sampled_from([0.0, 30.0, 60.0]),
            migrated_pages=st.integers(0, 10**6),
            cross_socket_migrated_pages=st.integers(0, 10**4),
            hint_fault_pages_local=st.integers(0, 10**4),
            hint_fault_pages_remote=st.integers(0, 10**4),
            cpu_nanoseconds=st.integers(0, 10**11),
        ),
    ),
    st.builds(
        eyes,
        balancing=st.booleans(),
        migrations=st.sampled_from(["fentry", "cgroup", "none"]),
        faults=st.sampled_from(["fentry", "none"]),
    ),
)
@example(
    Observed(
        generation=1,
        phase="Pinned",
        threads=2,
        counters=Counters(
            since=START, seconds=60.0, hint_fault_pages_local=10**4, cpu_nanoseconds=10**10
        ),
    ),
    eyes(),
)
def test_verified_never_comes_with_a_contradiction(seen: Observed, sight: Eyes):
    found = judge(SPEC, seen, generation=1, seen=sight)
    assert found.message
    assert (found.evidence is not None) == (found.verdict == "Verified")
    if found.verdict != "Verified":
        return
    by_name = {c.name: c.ok for c in found.checks}
    assert False not in {by_name[n] for n in ("cpus", "mems", "containers", "migrations")}
    assert by_name["cpus"] is by_name["window"] is by_name["residency"] is True
    assert by_name["migrations"] is True
    assert (found.evidence == "Measured") is (by_name["hintFaults"] is True)


@pytest.mark.parametrize(
    ("resident", "verdict"),
    [({"N0": 40, "N1": 60}, "Verified"), ({"N0": 40, "N2": 60}, "Ineffective")],
)
def test_a_pin_of_several_sockets_is_judged_by_where_its_memory_is(
    resident: dict[str, int], verdict: str
):
    """Between its own sockets pages and threads may go as they like."""
    wanted = spec(socket=0, sockets=[0, 1], cpus="0-7", mems="0-1")
    seen = observed(
        effective=CpusMems(cpus="0-7", mems="0-1"),
        containers=[],
        memory=memory(**resident),
        counters=counters(cross_socket_migrated_pages=10**6, hint_fault_pages_remote=10**6),
    )
    found = judge(wanted, seen, seen=eyes())
    assert found.verdict == verdict
    if verdict == "Verified":
        assert found.evidence == "ByPlacement"
        assert "what moves between sockets 0, 1 is not judged" in found.message
