"""Two pods of one node, traced: of one nothing is told of the other.

Each has a process, pipe, library, function, address and port of its own name or number, see
``support.tenant``. The control is the same question about the whole node, which tells of both.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from support import tenant
from support.traced import traced, unless_crashed
from support.workloads import TOUCH, hops
from support.world import NAMESPACE, World, container, pod, resources

from numapin_agent.trace.result import Result
from numapin_api.errors import LabError
from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200, func_only=True)]

NODE = "numa-0"
IMAGE = "localhost/numapin-agent:lab"
"""Has a Python; numapin itself is not run."""
START = 'printf %s "$PROGRAM" >/tmp/tenant.py; exec /usr/bin/python3 -u /tmp/tenant.py "$@"'
BUSY = resources("100m", "48Mi", limits=False) | {"limits": {"cpu": "300m"}}
SANDBOX = "pause"
SECONDS = 8
LONG = ("--threshold", "500ms")
"""Of a node's calls so few are as long that all are listed."""


@dataclass(frozen=True)
class Tenant:
    """A pod and what is its own.

    Attributes:
        name: part of all its names, and in no other word.
        number: of its address and port.
        call: a system call that nobody else on the node makes.
        chatter: messages to itself, ten times a second.
    """

    name: str
    number: int
    call: str
    chatter: int

    @property
    def pod(self) -> str:
        return f"trace-{self.name}"

    @property
    def process(self) -> str:
        return f"tenant-{self.name}"

    @property
    def socket(self) -> str:
        return f"127.0.{self.number}.1:{4000 + self.number}"

    def manifest(self) -> dict[str, Any]:
        arguments = [self.name, str(self.number), self.call, str(self.chatter)]
        host = {"fieldRef": {"fieldPath": "status.hostIP"}}
        env = [
            {"name": "PROGRAM", "value": inspect.getsource(tenant)},
            {"name": "NODE_IP", "valueFrom": host},
        ]
        command = ["sh", "-c", START, "sh", *arguments]
        made = container(image=IMAGE, command=command, env=env, resources=BUSY)
        return pod(self.pod, made, node=NODE, pinned=False)

    def words(self, world: World) -> set[str]:
        """Those that an answer about another pod has none of."""
        there = world.cluster.pod(NAMESPACE, self.pod)
        assert there is not None
        address = self.socket.split(":")[0]
        return {self.name, address, self.call, there.status.pod_ip, there.metadata.uid}


OURS = Tenant("quince", 11, "getsid", 1)
THEIRS = Tenant("medlar", 22, "getpgid", 10)

Told = Callable[[Tenant], set[str]]


def about_calls(one: Tenant) -> set[str]:
    return {one.process, f"pipe-{one.name}", one.socket, one.call}


def about_faults(one: Tenant) -> set[str]:
    return {one.process, f"library-{one.name}.so", f"jitted_{one.name}"}


def about_threads(one: Tenant) -> set[str]:
    return {one.process}


@pytest.fixture(scope="module")
def tenants(world: World) -> Iterator[Callable[[], None]]:
    """Both pods; await that their programs are at work."""

    def at_work() -> None:
        for one in (OURS, THEIRS):
            world.cluster.await_ready(NAMESPACE, one.pod, seconds=420)
            log = partial(world.kubectl, "logs", "-n", NAMESPACE, one.pod)
            try:
                eventually(lambda log=log: "ready" in log(), seconds=180, what=f"{one.pod} works")
            except LabError as error:
                error.add_note(log())
                raise

    names = [one.pod for one in (OURS, THEIRS)]
    world.cluster.delete(NAMESPACE, names, seconds=420)
    try:
        for one in (OURS, THEIRS):
            world.cluster.create(one.manifest())
        yield at_work
    finally:
        world.cluster.delete(NAMESPACE, names, seconds=420)


def of_pod(world: World, one: Tenant, *arguments: str) -> Result:
    whom = ("--pod", f"{NAMESPACE}/{one.pod}")
    found = traced(world, *arguments, *whom, "--duration", f"{SECONDS}s")
    assert found.scope == f"pod {NAMESPACE}/{one.pod}"
    return found


def of_node(world: World, *arguments: str) -> Result:
    return traced(world, *arguments, "--node", NODE, "--duration", f"{SECONDS}s")


def told(found: Result, words: set[str]) -> set[str]:
    """Which of these words stand anywhere in the answer."""
    text = found.model_dump_json()
    return {word for word in words if word in text}


def processes(found: Result) -> set[str]:
    """All that are told of but the pod's sandbox. There is one: another's has another name.

    Even if that is kept back, as the names of processes that ended are.
    """
    named = [*found.rows, *found.moments]
    labels = {one.labels["process"] for one in named if "process" in one.labels}
    return labels.union(stack.frames[0] for stack in found.stacks) - {SANDBOX}


@pytest.mark.lifecycle
def test_pages_that_another_pod_has_moved_are_not_told(world: World):
    """Programs of two names are sent from socket to socket; the kernel moves pages of both."""
    both = {OURS.process, THEIRS.process}
    asked = ("numa-moves", "--duration", "60s")

    def moved_alone(ask: Callable[[], Result]) -> Callable[[], bool]:
        def moved() -> bool:
            found = ask()
            assert told(found, {THEIRS.name}) == set()
            return told(found, both) == {OURS.process}

        return moved

    def hopper(one: Tenant) -> dict[str, Any]:
        program = f"/tmp/{one.process}"
        script = f"cp $(command -v sysbench) {program}\n" + hops(TOUCH.replace("sysbench", program))
        made = container(script=script, resources=BUSY)
        return pod(f"hops-{one.name}", made, node=NODE, pinned=False)

    def once() -> None:
        for name in names:
            world.cluster.await_ready(NAMESPACE, name, seconds=420)
        # A young task's pages are not looked at before it has run for a while.
        eventually(
            lambda: told(traced(world, *asked, "--node", NODE), both) == both,
            seconds=600,
            what="the kernel moves pages of both",
        )
        ours = partial(traced, world, *asked, "--pod", f"{NAMESPACE}/{names[0]}")
        # They are moved in bursts: a minute may have none.
        eventually(moved_alone(ours), seconds=600, what="the kernel moves pages of ours")

    names = [f"hops-{one.name}" for one in (OURS, THEIRS)]
    world.cluster.delete(NAMESPACE, names, seconds=420)
    try:
        for one in (OURS, THEIRS):
            world.cluster.create(hopper(one))
        unless_crashed(world, once)
    finally:
        world.cluster.delete(NAMESPACE, names, seconds=420)


@pytest.mark.parametrize(
    ("probe", "own"),
    [
        pytest.param(("syscalls", *LONG), about_calls, id="syscalls"),
        pytest.param(("page-faults",), about_faults, id="page-faults"),
        pytest.param(("off-cpu",), about_threads, id="off-cpu", marks=pytest.mark.lifecycle),
        pytest.param(("run-queue",), about_threads, id="run-queue", marks=pytest.mark.lifecycle),
        pytest.param(("spike", *LONG), about_calls, id="spike", marks=pytest.mark.lifecycle),
    ],
)
def test_a_pod_tells_of_itself_alone_and_its_node_of_both(
    world: World, tenants, probe: tuple[str, ...], own: Told
):
    def once() -> None:
        tenants()
        foreign = THEIRS.words(world)
        found = of_pod(world, OURS, *probe)
        assert told(found, foreign) == set()
        assert told(found, own(OURS)) == own(OURS)
        assert processes(found) == {OURS.process}
        if "--threshold" in probe:
            # Everything is long enough: as much is told as there is room for.
            assert told(of_pod(world, OURS, probe[0], "--threshold", "1us"), foreign) == set()
        both = own(OURS) | own(THEIRS)
        assert told(of_node(world, *probe), both) == both

    unless_crashed(world, once)


@pytest.mark.lifecycle
@pytest.mark.parametrize(
    "probe", ["softirqs", "hardirqs", "timers", "netfilter", "net-rx", "memory-wait"]
)
def test_where_nothing_has_a_pods_name_its_counts_are_a_part_of_the_nodes(
    world: World, tenants, probe: str
):
    """Were all counted that happens on the node, there would be as much."""

    def once() -> None:
        tenants()
        found = of_pod(world, OURS, probe)
        assert told(found, THEIRS.words(world)) == set()
        ours = found.total().count / found.seconds
        everything = of_node(world, probe)
        assert 0 < ours < 0.7 * everything.total().count / everything.seconds, found.rows

    unless_crashed(world, once)


@pytest.mark.lifecycle
def test_messages_that_another_pod_reads_are_not_counted(world: World, tenants):
    """The other reads more than ours ever could."""

    def read(found: Result) -> float:
        stage = "stack → read by the process"
        return sum(r.histogram.count for r in found.rows if r.labels["stage"] == stage)

    def once() -> None:
        tenants()
        most = OURS.chatter * SECONDS / tenant.PAUSE + SECONDS / tenant.WAIT + 2
        found = of_pod(world, OURS, "net-rx")
        assert 0 < read(found) <= most * found.seconds / SECONDS
        assert read(of_pod(world, THEIRS, "net-rx")) > most

    unless_crashed(world, once)


@pytest.mark.lifecycle
def test_a_function_that_another_pod_calls_is_not_counted(world: World, tenants):
    def once() -> None:
        tenants()
        asked = ("function", f"__x64_sys_{THEIRS.call}", "--stacks")
        found = of_pod(world, OURS, *asked)
        assert (found.total().count, found.stacks) == (0, [])
        found = of_pod(world, THEIRS, *asked)
        assert found.total().count > 0
        assert found.stacks

    unless_crashed(world, once)
