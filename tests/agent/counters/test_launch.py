"""The loader child seen from the agent, with other programs in the child's place."""

import os
import sys
import time
from pathlib import Path

import pytest

from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.counters.launch import Loaded, Probed, load
from numapin_agent.counters.request import Request
from numapin_agent.counters.signals import FIELDS

REQUEST = Request(
    btf="/nowhere/btf",
    kprobe_pmu="/nowhere/type",
    machine="x86_64",
    cpu_sockets=(1, 2),
    node_sockets=(1, 2),
    always_crosses=True,
    other_nodes=(2, 1),
    nodes=2,
    cgroup_version=2,
    max_cgroups=64,
    max_pairs=256,
    macros={"REASON_NUMA": 0},
)
DONE = "send(c, {'done': {'btf_seconds': 0.5, 'seconds': 1, 'peak_rss_bytes': 123}})"


def run(body: str, *, interpreters: tuple[str, ...] = (sys.executable,), timeout: float = 20.0):
    """Run a few lines of Python as the child: c is the channel, r the request."""
    code = "\n".join(
        [
            "import os, socket, sys, time",
            "from numapin_agent.bpf.wire import receive, send",
            "from numapin_agent.counters.request import Request",
            "c = socket.socket(fileno=int(sys.argv[1]))",
            "r = Request.decode(receive(c)[0])",
            body,
        ]
    )
    return load(
        REQUEST,
        LoadOptions(
            interpreters=interpreters,
            timeout_seconds=timeout,
            command=lambda interpreter, _, fd: [interpreter, "-c", code, str(fd)],
        ),
    )


def signal(name: str, level: str, *, fds: str = "", reason: str | None = None) -> str:
    roles = f"[x for x, _ in [{fds}]]"
    message = f"'signal': {name!r}, 'level': {level!r}, 'reason': {reason!r}, 'roles': {roles}"
    return f"send(c, {{{message}}}, [f for _, f in [{fds}]])"


def close(loaded: Loaded) -> None:
    for _, fd in loaded.fds:
        os.close(fd)


def test_descriptors_arrive_usable_and_do_not_leak_to_programs_we_start():
    body = f"""
fd = os.memfd_create("given")
os.write(fd, b"counters")
{signal("taskMigrations", "rawTracepoint", fds="('map:taskMigrations', fd), ('link:x', fd)")}
{signal("numaMigrations", "none", reason="because")}
{DONE}
"""
    loaded = run(body)
    assert [role for role, _ in loaded.fds] == ["map:taskMigrations", "link:x"]
    for _, fd in loaded.fds:
        assert os.pread(fd, 100, 0) == b"counters"
        assert not os.get_inheritable(fd)
    assert loaded.signals["taskMigrations"] == Probed("rawTracepoint", None)
    assert loaded.signals["numaMigrations"] == Probed("none", "because")
    assert loaded.signals["hintFaults"].level == "none"
    assert loaded.cost is not None
    assert (loaded.cost.peak_rss_bytes, loaded.cost.interpreter) == (123, sys.executable)
    assert not loaded.broke_off
    close(loaded)


def test_the_request_arrives_whole():
    body = f"""
what = repr(r)
{signal("pinMoves", "none").replace("'reason': None", "'reason': what")}
{DONE}
"""
    assert run(body).signals["pinMoves"].reason == repr(REQUEST)


def reasons(loaded: Loaded) -> set[str | None]:
    return {probed.reason for probed in loaded.signals.values()}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "raise MemoryError('LLVM')",
            "the loader ended early with status 1: MemoryError: LLVM",
        ),
        (
            "os.write(2, b'In file included from x:\\nx.c:7:1: error: no\\n1 error generated.\\n');"
            "os._exit(3)",
            "the loader ended early with status 3: x.c:7:1: error: no",
        ),
        ("os.kill(os.getpid(), 11)", "the loader ended early with status -11"),
        ("", "the loader ended early with status 0"),
        (
            "c.send(b'no json')",
            "the loader's messages broke off: Expecting value: line 1 column 1 (char 0)",
        ),
        ("c.send(b'[1]')", "the loader's messages broke off: [1] is no object"),
    ],
)
def test_a_child_that_fails_is_the_reason_of_every_signal(body, reason):
    loaded = run(body)
    assert reasons(loaded) == {reason}
    assert {p.level for p in loaded.signals.values()} == {"none"}
    assert loaded.signals.keys() == FIELDS.keys()
    assert (loaded.fds, loaded.cost, loaded.broke_off) == ((), None, True)


def test_a_crash_costs_only_the_signals_not_yet_handed_over():
    body = f"""
fd = os.memfd_create("given")
{signal("hintFaults", "fentry", fds="('map:hintFaults', fd)")}
os.abort()
"""
    loaded = run(body)
    assert loaded.signals["hintFaults"] == Probed("fentry", None)
    assert loaded.signals["pinMoves"].reason == "the loader ended early with status -6"
    assert [role for role, _ in loaded.fds] == ["map:hintFaults"]
    close(loaded)


def test_a_child_that_hangs_is_ended_by_its_deadline(tmp_path: Path):
    pid = tmp_path / "pid"
    began = time.monotonic()
    loaded = run(
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\nc.recv(1)",
        timeout=1.0,
    )
    assert reasons(loaded) == {"the loader was not done after 1 s"}
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_roles_that_do_not_match_the_descriptors_are_refused():
    message = "{'signal': 'pinMoves', 'level': 'fentry', 'reason': None, 'roles': ['a', 'b']}"
    loaded = run(f"send(c, {message}, [1])")
    assert "broke off" in str(loaded.signals["pinMoves"].reason)
    close(loaded)


def test_the_next_python_is_tried_when_one_has_no_bcc(tmp_path: Path):
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    body = f"""
if sys.argv[0] == "-c" and {str(other)!r} not in sys.orig_argv[0]:
    send(c, {{"unavailable": "no bcc in the first"}})
else:
    {signal("hintFaults", "kprobe")}
    {DONE}
"""
    loaded = run(body, interpreters=(sys.executable, str(other)))
    assert loaded.signals["hintFaults"].level == "kprobe"
    assert loaded.cost is not None
    assert loaded.cost.interpreter == str(other)


def test_no_python_with_bcc_is_said_with_all_that_were_tried():
    loaded = run(
        "send(c, {'unavailable': 'No module named bcc'})",
        interpreters=(sys.executable, "/nowhere/python3"),
    )
    assert reasons(loaded) == {
        "no Python here can import bcc: No module named bcc; "
        "/nowhere/python3: No such file or directory"
    }
    assert not loaded.broke_off  # the next try would find none either


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_descriptor_is_left_open_when_all_fails():
    before = open_descriptors()
    run("os._exit(1)")
    given = signal("pinMoves", "fentry", fds="('map:pinMoves', 1)")
    run(given + "\nsend(c, {'unavailable': 'after all'})")
    assert open_descriptors() == before


def test_where_nothing_may_be_loaded_nothing_is_started():
    def command(interpreter: str, module: str, fd: int) -> list[str]:
        raise AssertionError(f"{interpreter} was to be started")

    loaded = load(REQUEST, LoadOptions(command=command, forbidden="switched off"))
    assert loaded == Loaded(dict.fromkeys(FIELDS, Probed("none", "switched off")))
