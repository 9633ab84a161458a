"""The child's ends, each as people are told. Children here are little programs of our own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.wait import until

from numapin_agent.traces.launch import Answer, Job
from numapin_agent.traces.wire import Asked

ASKED = Asked({"probe": "timers"}, 1, "node n", None, "/", "/sys/fs/cgroup", "/nowhere")


def child(text: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import sys, os, time\n{text}"]


def ended(text: str) -> Answer:
    job = Job(ASKED, child(text))
    return until(job.poll, what="the child to end")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('print(\'{"result": "x", "message": null}\')', Answer("Done", "x")),
        ('print(\'{"result": "x", "message": "why"}\')', Answer("Done", "x", message="why")),
        (
            'print(\'{"refused": "no such probe"}\')',
            Answer("Refused", reason="TraceRefused", message="no such probe"),
        ),
        (
            "os.kill(os.getpid(), 9)",
            Answer("Failed", None, "Crashed", "the trace's process: ended by SIGKILL: "),
        ),
        (
            'sys.exit("MemoryError: no")',
            Answer("Failed", None, "Crashed", "the trace's process: status 1: MemoryError: no"),
        ),
        ("print(1)", Answer("Failed", None, "Crashed", "the trace's process: status 0: ")),
        (
            "print('{\"result\": 1}')",
            Answer("Failed", None, "Crashed", "the trace's process: status 0: "),
        ),
    ],
)
def test_each_end_is_told(text, answer):
    assert ended(text) == answer


def test_it_is_asked_by_its_standard_input():
    echo = (
        "import json\nasked = json.loads(sys.stdin.readline())\n"
        'print(json.dumps({"result": asked["scope"], "message": None}))'
    )
    assert ended(echo) == Answer("Done", "node n")


def descriptors() -> set[str]:
    return {one.name for one in Path("/proc/self/fd").iterdir()}


def test_killed_it_takes_its_own_children_along_and_no_descriptor_stays(tmp_path):
    before = descriptors()
    pids = tmp_path / "pids"
    job = Job(
        ASKED,
        child(
            "import subprocess\n"
            'other = subprocess.Popen(["sleep", "1000"])\n'
            f"open({str(pids)!r}, 'w').write(str(other.pid))\ntime.sleep(1000)"
        ),
    )
    pid = int(until(lambda: pids.exists() and pids.read_text(), what="the grandchild"))
    assert job.poll() is None
    job.kill()
    until(lambda: _gone(pid), what="the grandchild to be gone")
    assert descriptors() == before


def test_an_answer_leaves_no_descriptor():
    before = descriptors()
    ended('print(\'{"refused": "x"}\')')
    assert descriptors() == before


def test_killed_twice_it_closes_nothing_of_others():
    job = Job(ASKED, child("time.sleep(1000)"))
    job.kill()
    others = [os.memfd_create("takes a number that was closed") for _ in range(3)]
    job.kill()
    for other in others:
        os.fstat(other)
        os.close(other)


def test_a_program_that_is_not_there_is_an_error_and_leaves_nothing():
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        Job(ASKED, ["/no/such/program"])
    assert descriptors() == before


def _gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return True


def test_the_real_child_ends_when_its_agent_does():
    """Its standard input is the agent's: nothing else holds it."""
    agent = (
        "import os\n"
        "from numapin_agent.traces.launch import Job\n"
        "from numapin_agent.traces.wire import Asked\n"
        'asked = Asked({"probe": "softirqs"}, 600, "n", None, "/", "/sys/fs/cgroup", "/x")\n'
        "job = Job(asked)\nprint(job._child.pid, flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", agent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert not _gone(pid)
        process.kill()
    until(lambda: _gone(pid), what="the trace to end with its agent", seconds=30)
