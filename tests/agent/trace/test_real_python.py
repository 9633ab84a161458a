"""Call paths of a real Python program that names its functions in a perf map, as in a container."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import pythons
from support.bpf import no_bcc
from support.tenants import Program, asked, of

from numapin_agent.trace.result import Result

_WHY = no_bcc() or pythons.missing()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(_WHY is not None, reason=_WHY or ""),
    pytest.mark.timeout(300),
]

PROGRAM = """
import json, mmap, resource, sys, time

def touches_three_quarters(pages):
    for at in range(0, len(pages) * 3 // 4, mmap.PAGESIZE):
        pages[at] = 1

def touches_a_quarter(pages):
    for at in range(len(pages) * 3 // 4, len(pages), mmap.PAGESIZE):
        pages[at] = 1

def faults():
    for _ in range(5):
        with mmap.mmap(-1, 2048 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE) as pages:
            pages.madvise(mmap.MADV_NOHUGEPAGE)
            touches_three_quarters(pages)
            touches_a_quarter(pages)

def sleeps_three_quarters():
    time.sleep(0.15)

def sleeps_a_quarter():
    time.sleep(0.05)

def sleeps():
    for _ in range(5):
        sleeps_three_quarters()
        sleeps_a_quarter()

print("ready", flush=True)
sys.stdin.readline()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
{work}()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def python(tenants: tuple[Path, Path]) -> Iterator[Callable[[str], Program]]:
    """Makes one that does this work; ended here, for its cgroup to be empty whatever happens."""
    made: list[Program] = []

    def make(work: str) -> Program:
        text = PROGRAM.replace("{work}", work)
        command = [pythons.PYTHON, "-X", "perf", "-c", text]
        made.append(Program.contained(tenants[0], pythons.root(), command))
        return made[0]

    yield make
    for one in made:
        one.end()


def weight(result: Result, *names: str) -> int:
    """Of call paths with all these functions."""
    wanted = {f"py::{name}:<string>" for name in names}
    return sum(stack.weight for stack in result.stacks if wanted <= set(stack.frames))


def test_page_faults_of_python_functions_have_their_shares(tenants, python):
    program, told = python("faults"), []
    result = asked("page-faults", lambda: told.append(program.work()), of(tenants[0]))
    assert sum(stack.weight for stack in result.stacks) == pytest.approx(told[0], rel=0.01)
    for name, share in (("touches_three_quarters", 0.75), ("touches_a_quarter", 0.25)):
        assert weight(result, "<module>", "faults", name) == pytest.approx(
            share * told[0], rel=0.02
        )


def test_python_functions_that_wait_have_their_shares(tenants, python):
    program = python("sleeps")
    result = asked("off-cpu", program.work, of(tenants[0]))
    long, short = (
        weight(result, "<module>", "sleeps", name)
        for name in ("sleeps_three_quarters", "sleeps_a_quarter")
    )
    # Who is preempted on the way to sleep waits for a CPU meanwhile.
    assert long + short >= 0.8 * 5 * 200_000_000
    assert long / (long + short) == pytest.approx(0.75, abs=0.05)
