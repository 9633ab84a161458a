"""Functions and hooks on this machine's kernel: timed, nested, or refused with a reason."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.bpf import no_bcc
from support.tenants import NODE, asked

import numapin_agent
from numapin_agent.bpf.launch import INTERPRETERS, environment
from numapin_agent.trace.question import Question
from numapin_agent.trace.run import run
from numapin_api.errors import TraceError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("probe", ["function", "netfilter"])
def test_functions_are_timed_or_refused_with_a_reason(probe):
    if Path("/sys/bus/event_source/devices/kprobe").exists():
        result = asked(probe, lambda: Path("/proc/self/stat").read_text())
        assert result.cost.programs
    else:
        with pytest.raises(TraceError, match="this kernel has no kprobes"):
            asked(probe, lambda: None)


@pytest.mark.parametrize(
    ("probe", "stacks", "names"),
    [
        ("function", "1", {"function_kprobe", "function_kretprobe"}),
        ("function", "0", {"function_kprobe", "function_kretprobe"}),
        ("netfilter", "0", {"hook_kprobe", "hook_kretprobe"}),
        ("net-rx", "0", {"rx_ip_kprobe", "rx_tcp_kprobe", "rx_gro"}),
        ("numa-moves", "0", {"move_begin", "move_end", "misplaced_kprobe"}),
        ("page-faults", "0", {"fault_event", "fault_user", "fault_kernel"}),
    ],
)
def test_the_verifier_takes_what_can_not_be_attached_here(probe, stacks, names):
    found = by_an_interpreter_with_bcc("load_all.py", probe, stacks)
    assert found["refused"] == {}
    assert names <= set(found["loaded"])


def test_a_hook_within_a_hook_is_counted_and_so_is_the_outer():
    found = by_an_interpreter_with_bcc("nested.py", "netfilter")
    for kind in ("fentry", "kprobe"):
        counts = {course: count for course, (count, _) in found[kind].items()}
        assert counts == {"one after the other": 2, "nested": 2, "two nested": 3}, kind
        # The outer has lasted since before the inner began.
        assert all(longest >= 20_000_000 for _, longest in found[kind].values()), kind


def test_a_function_within_itself_is_counted_and_so_is_the_outer():
    found = by_an_interpreter_with_bcc("nested.py", "function")
    for kind in ("fentry", "kprobe"):
        counts = {course: count for course, (count, _) in found[kind].items()}
        assert counts == {
            "one after the other": 2,
            "within itself": 2,
            "many deep": 4,
            "return of the inner not seen": 3,
            "begun before": 1,
            "never seen to return": 2,
        }, kind
        for course in ("within itself", "many deep", "begun before", "never seen to return"):
            assert found[kind][course][1] >= 20_000_000, (kind, course)


def by_an_interpreter_with_bcc(script: str, *arguments: str) -> dict[str, Any]:
    code = Path(numapin_agent.__file__).parents[1]
    said = []
    for interpreter in INTERPRETERS:
        done = subprocess.run(
            [interpreter, str(Path(__file__).with_name(script)), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment() | {"PYTHONPATH": str(code)},
        )
        if done.returncode == 0:
            return dict(json.loads(done.stdout))
        said.append(done.stderr[-500:])
    pytest.fail(f"no interpreter could run it: {said}")


def test_a_function_that_is_not_there_is_said_with_those_that_are():
    with pytest.raises(TraceError, match=r"vfs_rea.*there are .*vfs_read"):
        run(Question("function", "vfs_rea"), NODE, seconds=1)


def test_a_function_that_never_returns_is_refused():
    for name in ("do_exit", "__x64_sys_exit_group"):
        with pytest.raises(TraceError, match=f"function {name} does not return"):
            run(Question("function", name), NODE, seconds=1)
