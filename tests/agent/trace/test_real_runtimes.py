"""Call paths of real programs in Python and Java, which name their functions in perf maps."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import pythons
from support.bpf import no_bcc
from support.tenants import Program, asked, of

from numapin_agent.trace.result import Result
from numapin_api.errors import LabError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]

PYTHON = """
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

JAVA = """
import java.io.RandomAccessFile;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;

public class Faults {
    static final int PAGE = 4096, PAGES = 2048;
    static FileChannel file;

    static void touchesThreeQuarters(MappedByteBuffer pages) {
        for (int i = 0; i < PAGES / 4 * 3; i++) pages.put(i * PAGE, (byte) 1);
    }

    static void touchesAQuarter(MappedByteBuffer pages) {
        for (int i = PAGES / 4 * 3; i < PAGES; i++) pages.put(i * PAGE, (byte) 1);
    }

    static void faults(int rounds) throws Exception {
        for (int i = 0; i < rounds; i++) {
            MappedByteBuffer pages = file.map(MapMode.PRIVATE, 0, PAGES * PAGE);
            touchesThreeQuarters(pages);
            touchesAQuarter(pages);
        }
    }

    static void line() throws Exception {
        while (System.in.read() != '\\n') {}
    }

    public static void main(String[] arguments) throws Exception {
        RandomAccessFile pages = new RandomAccessFile(arguments[0], "rw");
        pages.setLength(PAGES * PAGE);
        file = pages.getChannel();
        for (int i = 0; i < 500; i++) faults(1);
        System.out.println("ready");
        line();
        for (int i = 0; i < 5; i++) faults(1);
        System.out.println(5 * PAGES);
        line();
    }
}
"""
ONCE = ("-XX:TieredStopAtLevel=1", "-Xbatch", "-XX:CompileCommand=quiet")
"""Compiled before it goes on, and not again: a perf map holds what there was when it was made."""
APART = "-XX:CompileCommand=dontinline,Faults.*"
CALLERS = "-XX:+PreserveFramePointer"


@pytest.fixture
def python(tenants: tuple[Path, Path]) -> Iterator[Callable[[str], Program]]:
    """Makes one that does this work; ended here, for its cgroup to be empty whatever happens."""
    made: list[Program] = []
    try:
        root = pythons.root()
    except LabError as error:
        pytest.skip(str(error))

    def make(work: str) -> Program:
        text = PYTHON.replace("{work}", work)
        command = [pythons.PYTHON, "-X", "perf", "-c", text]
        made.append(Program.contained(tenants[0], root, command))
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


@pytest.mark.skipif(shutil.which("jcmd") is None, reason="no Java development kit")
def test_page_faults_of_java_methods_have_their_shares(tenants, tmp_path):
    (tmp_path / "Faults.java").write_text(JAVA)
    command = ["java", *ONCE, APART, CALLERS, f"{tmp_path}/Faults.java", f"{tmp_path}/pages"]
    program = Program(tenants[0], command)
    map_it = ["jcmd", str(program.child.pid), "Compiler.perfmap"]
    subprocess.run(map_it, check=True, capture_output=True, timeout=60)
    told = []
    result = asked("page-faults", lambda: told.append(program.work()), of(tenants[0]))
    program.end()
    Path(f"/tmp/perf-{program.child.pid}.map").unlink()
    methods = [[f.partition("(")[0] for f in stack.frames] for stack in result.stacks]
    for name, share in (("touchesThreeQuarters", 0.75), ("touchesAQuarter", 0.25)):
        path = {"void Faults.faults", f"void Faults.{name}"}
        found = zip(methods, result.stacks, strict=True)
        weighed = sum(stack.weight for frames, stack in found if path <= set(frames))
        assert weighed == pytest.approx(share * told[0], rel=0.05)
