"""When pods are looked at for files that others are charged for, and whom they are told of."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import msgspec
import pytest

from numapin_agent.borrowing import EACH_SECONDS, FIRST_SECONDS, Borrowing
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.pin.borrowed import File, Told
from numapin_agent.pin.values import PinReport
from numapin_agent.pods import PodView
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CgroupError
from numapin_api.pin import Borrowed, Observed

KEY = ("shop", "redis-0")
HOME = NodeSet.parse("0")
MODEL = File("fe:01", 12, "/data/model.bin")
PINNED = PinReport(phase="Pinned")


def pod(namespace: str, name: str) -> PodView:
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}"}
    return msgspec.convert({"metadata": metadata}, PodView)


@dataclass
class Node:
    """A node of pods, whose look-ups are run at once and counted."""

    told: tuple[Told, ...] | Exception | None = (Told(MODEL, 1, 64 << 20),)
    files_of: dict[str, set[File]] = field(default_factory=dict)
    now: float = 1000.0
    looks: list[tuple[NodeSet, frozenset[tuple[str, int]]]] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    patient: bool = False
    stopped: bool = False
    legacy: bool = False

    def __post_init__(self) -> None:
        self.its_pods = {KEY: pod(*KEY)}
        self.borrowing = Borrowing(
            self,
            cgroups=self,
            pods=lambda: self.its_pods,
            changed=self.changed.append,
            failed=self.failed.append,
            submit=self.submit,
            clock=lambda: self.now,
        )

    def beside(self, namespace: str, name: str, *files: File) -> "Node":
        self.its_pods[namespace, name] = pod(namespace, name)
        self.files_of[f"uid-{name}"] = set(files)
        return self

    def ask(self, after: float = 0.0, report: PinReport = PINNED, **more) -> list[Borrowed]:
        self.now += after
        usual = {"home": HOME, "held": None}
        return self.borrowing.of(KEY, "uid-redis-0", report, **usual | more)

    def looked(self) -> list[Borrowed]:
        """What is known after the first look."""
        self.ask()
        self.ask(FIRST_SECONDS)
        return self.ask()

    # Sampler
    def look(self, _pod, home, told):
        self.looks.append((home, told))
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def files(self, found):
        self.searched.append(found.uid)
        return frozenset(self.files_of.get(found.uid, ()))

    def stop(self) -> None:
        self.stopped = True

    # Cgroups
    def find_pod(self, uid: str):
        if self.legacy:
            return object()
        return PodCgroup(uid, "Burstable", Path("/c"), Path("/"), Path("/proc"))

    def submit(self, look: Callable[[], None]) -> object:
        if self.patient:
            self.waiting.append(look)
        else:
            look()


def test_after_half_a_minute_and_then_each_quarter_of_an_hour():
    node = Node()
    assert node.ask() == []
    assert node.ask(FIRST_SECONDS - 1) == []
    assert node.looks == []
    node.ask(1)
    assert len(node.looks) == 1
    for _ in range(14):
        node.ask(60)
    assert len(node.looks) == 1
    node.ask(60)
    assert len(node.looks) == 2


def test_what_was_found_is_told_and_the_loop_hears_of_it_once():
    node = Node()
    assert node.looked() == [Borrowed(path="/data/model.bin", node=1, bytes=64 << 20)]
    assert node.changed == ["uid-redis-0"]
    node.told = (Told(MODEL, 1, 70 << 20),)
    node.ask(EACH_SECONDS)
    assert [b.bytes for b in node.ask()] == [70 << 20]
    assert node.changed == ["uid-redis-0"], "bytes alone are not worth a write"
    assert node.looks[-1] == (HOME, {("/data/model.bin", 1)})
    node.told = ()
    node.ask(EACH_SECONDS)
    assert node.ask() == []
    assert node.changed == ["uid-redis-0"] * 2


@pytest.mark.parametrize("phase", ["Moving", "Baseline", "Waiting", "Refused", "Unpinned"])
def test_only_while_the_pin_is_in_force(phase):
    node = Node()
    node.looked()
    assert node.ask(report=PinReport(phase=phase)) == []
    assert node.ask(EACH_SECONDS, report=PinReport(phase=phase)) == []
    assert len(node.looks) == 1
    assert node.ask() == []  # and then it begins anew


def test_mode_observe_is_looked_at_too():
    node = Node()
    node.ask(report=PinReport(phase="Observing"))
    node.ask(FIRST_SECONDS, report=PinReport(phase="Observing"))
    assert len(node.looks) == 1


def test_a_look_that_waited_until_pages_move_is_dropped():
    node = Node(patient=True)
    node.looked()
    node.ask(report=PinReport(phase="Moving"))
    for look in node.waiting:
        look()
    assert node.looks == []


def test_no_look_without_knowing_where_the_pod_belongs():
    node = Node()
    node.ask(home=NodeSet())
    node.ask(FIRST_SECONDS, home=NodeSet())
    assert node.looks == []


def test_a_new_agent_holds_what_the_last_one_said_until_it_has_looked():
    """Else each restart would cost a write that takes it away and one that brings it back."""
    before = Borrowed(path="/data/model.bin", node=1, bytes=5, pods=["web-1"])
    at_home = Borrowed(path="/data/other", node=0, bytes=5)
    held = Observed(generation=1, phase="Pinned", borrowed=[before, at_home])
    node = Node()
    assert node.ask(held=held) == [before]
    node.ask(FIRST_SECONDS, held=held)
    assert node.looks == [(HOME, {("/data/model.bin", 1)})]
    assert node.changed == []


def test_on_other_numa_nodes_it_begins_anew():
    node = Node()
    node.looked()
    moved = NodeSet.parse("1")
    held = Observed(generation=1, phase="Pinned", borrowed=node.ask())
    assert node.ask(home=moved, held=held) == []
    node.ask(FIRST_SECONDS, home=moved)
    assert node.looks[-1] == (moved, frozenset())


def test_what_is_unknown_is_not_told():
    assert Node(told=None).looked() == []
    assert Node(legacy=True).looked() == []


@pytest.mark.parametrize(
    ("error", "degraded"),
    [(CgroupError("malformed"), []), (RuntimeError("a bug"), ["InternalError"])],
)
def test_a_look_that_fails_leaves_what_was_known_and_is_told(error, degraded):
    node = Node()
    before = node.looked()
    found, node.told = node.told, error
    node.ask(EACH_SECONDS)
    assert node.ask() == before
    assert node.failed == [error]
    assert [r.reason for r in node.borrowing.problems()] == degraded
    node.told = found
    node.ask(EACH_SECONDS)
    assert len(node.looks) == 3
    assert node.borrowing.problems() == ()


def test_pods_of_the_namespace_are_named_and_others_are_a_number():
    overlay = File("00:31", 12, MODEL.path)
    node = (
        Node()
        .beside("shop", "web-1", MODEL)
        .beside("bank", "secret-name", MODEL)
        .beside("shop", "web-0", overlay)
        .beside("shop", "web-2", File("fe:01", 13, MODEL.path))
        .beside("bank", "idle")
    )
    (found,) = node.looked()
    assert (found.pods, found.others) == (["web-0", "web-1"], 1)
    assert "secret-name" not in found.model_dump_json()


def test_at_most_eight_names():
    node = Node()
    for n in range(11):
        node.beside("shop", f"web-{n:02}", MODEL)
    (found,) = node.looked()
    assert (len(found.pods), found.others) == (8, 3)


def test_nobody_elses_maps_are_read_when_there_is_nothing_to_tell():
    node = Node(told=()).beside("shop", "web-1", MODEL)
    node.looked()
    assert node.searched == []


def test_the_maps_of_others_are_remembered_for_a_quarter_of_an_hour():
    """All pods of a node may have something to tell, of a layer that they have in common."""
    node = Node().beside("shop", "web-1", MODEL)
    node.looked()
    other = ("shop", "redis-1")
    node.beside(*other)
    node.borrowing.of(other, "uid-redis-1", PINNED, home=HOME, held=None)
    node.now += FIRST_SECONDS
    node.borrowing.of(other, "uid-redis-1", PINNED, home=HOME, held=None)
    assert node.searched == ["uid-web-1", "uid-redis-0"]
    del node.its_pods["shop", "web-1"]
    node.now += EACH_SECONDS
    assert node.borrowing.of(other, "uid-redis-1", PINNED, home=HOME, held=None)
    assert set(node.borrowing._files) == {"uid-redis-0"}


def test_pods_that_are_gone_are_forgotten():
    node = Node()
    node.looked()
    node.its_pods = {("shop", "redis-1"): pod("shop", "redis-1")}
    node.borrowing.of(("shop", "redis-1"), "uid-redis-1", PINNED, home=HOME, held=None)
    assert set(node.borrowing._known) == {"uid-redis-1"}


def test_it_looks_in_a_thread_of_its_own():
    node = Node()
    threads: Queue[str] = Queue()

    def changed(uid: str) -> None:
        threads.put(f"{uid} {threading.current_thread().name}")

    node.borrowing = Borrowing(
        node,
        cgroups=node,
        pods=lambda: node.its_pods,
        changed=changed,
        failed=node.failed.append,
        clock=lambda: node.now,
    )
    node.looked()
    assert threads.get(timeout=10).startswith("uid-redis-0 borrowing")
    node.borrowing.close()


def test_what_a_stopped_look_says_is_not_believed():
    node = Node()
    before = node.looked()
    node.told = ()
    node.borrowing.close()
    assert node.stopped
    node.ask(EACH_SECONDS)
    assert node.ask() == before
