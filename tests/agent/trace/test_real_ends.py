"""How probes end, on this machine's kernel: nothing stays attached, and limits hold."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.bpf import held_ids, no_bcc, still_there
from support.tenants import NODE, asked, descriptors
from support.wait import until

import numapin_agent
from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace import run as runner
from numapin_agent.trace.question import PROBES, Question
from numapin_agent.trace.result import events_per_second
from numapin_agent.trace.run import Limits, hierarchy, run, scope_of
from numapin_api.errors import CgroupError, TraceError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("probe", [p for p in PROBES if p not in {"function", "netfilter"}])
def test_nothing_is_left(probe):
    seen: dict[str, set[int]] = {}

    def during() -> None:
        seen.update(held_ids(os.getpid()))

    before = descriptors()
    result = asked(probe, during)
    assert seen["prog"]
    assert seen["map"]
    assert events_per_second(result) >= 0
    assert descriptors() == before
    for kind, ids in seen.items():
        for one in ids:
            until(
                lambda kind=kind, one=one: not still_there(kind, one),
                what=f"{kind} {one} of {probe} to go",
            )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_nothing_is_left(number):
    code = Path(numapin_agent.__file__).parents[2]
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "numapin_cli.main", "trace", "softirqs", "--local"),
            *("--duration", "2m", "-o", "json"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(str(code / x) for x in ("crds", "agent", "cli"))},
    )
    until(lambda: held_ids(child.pid)["link"], what="programs to be attached", seconds=120)
    seen = held_ids(child.pid)
    child.send_signal(number)
    output, _ = child.communicate(timeout=120)
    if number == signal.SIGKILL:
        assert child.returncode == -number
    else:
        assert child.returncode == 0
        assert json.loads(output)["ended"] == "interrupted"
    for kind, ids in seen.items():
        for one in ids:
            until(lambda kind=kind, one=one: not still_there(kind, one), what=f"{kind} {one} to go")


def test_one_that_costs_too_much_is_ended():
    limits = Limits(cpu_percent=0.0)
    result = run(Question("timers"), NODE, seconds=60, limits=limits)
    assert result.ended == "limit"
    assert "% of a CPU, more than 0 %" in (result.why or "")


@pytest.mark.parametrize("seconds", [0, -1, 601])
def test_the_duration_is_bounded(seconds):
    with pytest.raises(TraceError, match="duration"):
        run(Question("timers"), NODE, seconds=seconds)


def test_a_scope_that_is_no_cgroup_is_refused(tmp_path):
    with pytest.raises(CgroupError, match="no cgroup"):
        scope_of(tmp_path, hierarchy(HostPaths()), "x")
    with pytest.raises(CgroupError, match="no cgroup v2"):
        scope_of(tmp_path, tmp_path, "x")


def test_without_bcc_it_is_said():
    options = runner.LoadOptions(interpreters=("/bin/true-not",))
    with pytest.raises(TraceError, match="no Python here can import bcc"):
        run(Question("timers"), NODE, seconds=1, options=options)
