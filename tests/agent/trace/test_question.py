"""What may be asked."""

import json

import pytest

from numapin_agent.trace.question import PROBES, Question, QuestionError, Scope, Task
from numapin_agent.trace.systemcalls import DESCRIPTOR, PATH0, PATH1, WAITS, about, table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"probe": "nothing"}, "must be one of timers"),
        ({"probe": "function"}, "needs the name"),
        ({"probe": "timers", "function": "vfs_read"}, "takes no name"),
        ({"probe": "function", "function": "a b"}, "must be a symbol"),
        ({"probe": "function", "function": "x" * 200}, "must be a symbol"),
        ({"probe": "timers", "stacks": True}, "takes no --stacks"),
        ({"probe": "run-queue", "threshold": 5}, "takes no threshold"),
        ({"probe": "timers", "threshold": 0}, "at least 1 ns"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(QuestionError, match=said):
        Question(**arguments)


@pytest.mark.parametrize("probe", PROBES)
def test_a_task_crosses_the_wire_whole(probe):
    function = "vfs_read" if probe == "function" else None
    task = Task(
        question=Question(probe, function),
        scope=Scope("pod a/b", 17, 3, "/sys/fs/cgroup/a/b"),
        btf="/sys/kernel/btf/vmlinux",
        kprobe_pmu="/x",
        machine="x86_64",
        cpus=2,
        online=(0, 1),
        map_bytes=1 << 20,
        store=None,
        numa_nodes=(0, 1),
        macros={"A": 1},
    )
    assert Task.decode(json.loads(json.dumps(task.encode()))) == task


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("read", DESCRIPTOR),
        ("setsockopt", DESCRIPTOR),
        ("copy_file_range", DESCRIPTOR),
        ("chown", PATH0),
        ("openat", PATH1),
        ("linkat", PATH1),
        ("accept4", DESCRIPTOR | WAITS),
        ("getpid", 0),
    ],
)
def test_what_system_calls_are_about(name, kind):
    assert about(name) == kind
    assert table({7: name}) == ({7: kind} if kind else {})
