"""However a trace ends in the lab, its node keeps no program, map, link or process of it."""

import signal
from collections.abc import Callable

import pytest
from support.traced import Held, held, traced, tracing, unless_crashed
from support.world import World

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200, func_only=True)]

NODE = "numa-0"
ASKED = ("softirqs", "--node", NODE)


def idle(world: World) -> Held:
    """What there is while the agent loads no programs, its own neither."""

    def there() -> Held | None:
        now = held(world, NODE)
        return None if any(" -m numapin_agent" in line for line in now.processes.values()) else now

    found = eventually(there, seconds=300, what="the agent loads no programs")
    assert found is not None
    assert any("numapin-agent" in line for line in found.processes.values())
    return found


def attached(world: World, before: Held) -> Held:
    """What a trace that runs has, once there is some of each kind."""

    def there() -> Held | None:
        new = held(world, NODE).since(before)
        kinds = {kind for kind, _ in new.bpf}
        return new if new.processes and kinds == {"prog", "map", "link"} else None

    found = eventually(there, seconds=300, what="the trace is attached")
    assert found is not None
    return found


def gone(world: World, before: Held) -> None:
    """All is as it was, by ids and numbers."""
    eventually(lambda: held(world, NODE) == before, seconds=120, what="the trace has left nothing")
    assert world.kubectl("get", "numatraces", "-A", "-o", "name") == ""


@pytest.mark.parametrize(
    "probe",
    [
        pytest.param(("softirqs",), id="raw tracepoints"),
        pytest.param(("function", "vfs_read"), id="function", marks=pytest.mark.lifecycle),
        pytest.param(("netfilter",), id="netfilter", marks=pytest.mark.lifecycle),
        pytest.param(("page-faults",), id="events", marks=pytest.mark.lifecycle),
    ],
)
def test_one_that_is_complete_leaves_nothing(world: World, probe: tuple[str, ...]):
    def once() -> None:
        before = idle(world)
        found = traced(world, *probe, "--node", NODE, "--duration", "3s")
        assert found.ended == "complete"
        assert sum(program.runs for program in found.cost.programs) > 0
        gone(world, before)

    unless_crashed(world, once)


def interrupt(world: World, stop: Callable[[int], None]) -> None:
    stop(signal.SIGINT)


def delete(world: World, stop: Callable[[int], None]) -> None:
    world.kubectl("delete", "numatraces", "-n", "numapin-system", "--all")


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        pytest.param(interrupt, 130, "stopped, without an answer", id="ctrl-c"),
        pytest.param(delete, 1, "is gone", id="deleted"),
    ],
)
def test_one_that_is_ended_early_leaves_nothing(world: World, end, status, said):
    def once() -> None:
        before = idle(world)
        with tracing(world, *ASKED, "--duration", "5m") as child:
            attached(world, before)
            end(world, child.send_signal)
            _, complained = child.communicate(timeout=120)
        assert child.returncode == status, complained
        assert said in complained
        gone(world, before)

    unless_crashed(world, once)


@pytest.mark.lifecycle
def test_one_whose_agent_is_stopped_leaves_nothing(world: World):
    """The next agent has programs of its own again, and says what became of the trace."""

    def once() -> None:
        before = idle(world)
        agent = world.agent(NODE)
        with tracing(world, *ASKED, "--duration", "5m") as child:
            of_trace = attached(world, before)
            world.kubectl("delete", "pod", "-n", agent.metadata.namespace, agent.metadata.name)
            _, complained = child.communicate(timeout=300)
        assert child.returncode == 1, complained
        assert "AgentRestarted" in complained
        eventually(
            lambda: held(world, NODE).names() == before.names(),
            seconds=300,
            what="the next agent has what the one before it had, and no more",
        )
        now = held(world, NODE)
        assert not of_trace.bpf.keys() & now.bpf.keys()
        assert not of_trace.processes.keys() & now.processes.keys()

    unless_crashed(world, once)
