"""The loader children's small pure parts: what is made of a compiler's output and of /proc."""

import pytest

from numapin_agent.bpf.attach import lacking
from numapin_agent.bpf.child import peak_rss_bytes
from numapin_agent.bpf.compiler import stderr_tail


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
