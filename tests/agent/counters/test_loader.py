"""The loader's small pure parts: what it makes of a compiler's output and of /proc."""

import pytest

from numapin_agent.bpf.compiler import stderr_tail
from numapin_agent.counters.loader import Pending, lacking, peak_rss_bytes
from numapin_agent.counters.plan import Attempt, SignalPlan

BEST, CAREFUL = Attempt("fentry", ()), Attempt("kprobe", (), "a caveat")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\n\ntwo\n", "two"),
        (
            "In file included from a\na.c:1:2: error: no\nint x;\n1 error generated.\n",
            "a.c:1:2: error: no",
        ),
        ("Traceback …\n  File x\nMemoryError: LLVM\n", "MemoryError: LLVM"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_the_line_that_says_most(output, said):
    assert stderr_tail(output) == said


@pytest.mark.parametrize(
    ("effective", "said"),
    [
        ("000001ffffffffff", ""),
        ("0000000000200000", ""),
        ("000000c000000000", ""),
        ("0000008000000000", " (capability PERFMON missing)"),
        ("0000004000000000", " (capability BPF missing)"),
        ("0000000000000000", " (capability BPF and PERFMON missing)"),
    ],
)
def test_capabilities_that_are_missing_are_named(effective, said):
    assert lacking(f"Name:\tpython3\nCapPrm:\t0\nCapEff:\t{effective}\nSeccomp:\t0\n") == said


def test_peak_memory_is_the_processs_own():
    assert peak_rss_bytes("VmPeak:\t 999 kB\nVmHWM:\t  132972 kB\nVmRSS:\t 1 kB\n") == 132972 << 10


@pytest.mark.parametrize(
    ("failures", "attempt", "reason"),
    [
        ([], BEST, "the plan's reason"),
        (["no fentry"], CAREFUL, "a caveat; no fentry"),
        (["no fentry", "no kprobe"], None, "no fentry; no kprobe"),
        (["no bpf", "no bpf"], None, "no bpf"),
    ],
)
def test_a_signal_says_why_no_better_attempt_is_in_force(failures, attempt, reason):
    pending = Pending(SignalPlan("hintFaults", (BEST, CAREFUL), "the plan's reason"))
    for failure in failures:
        pending.fail(failure)
    assert (pending.attempt, pending.reason) == (attempt, reason)
