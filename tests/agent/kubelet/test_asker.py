"""The kubelet is asked over its real protocol, when it must be, and may do what it likes."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from support.kubelet_server import (
    Answer,
    Kubelet,
    container,
    device,
    pod,
    serve,
)
from support.sockets import short_directory
from support.wait import until

from numapin_agent.kubelet import asker as module
from numapin_agent.kubelet.asker import LIST, STALE_SECONDS, Asker
from numapin_agent.kubelet.call import MAX_BYTES, connect
from numapin_agent.kubelet.resources import UNASKED, Holder
from numapin_api.cpulist import CpuSet
from numapin_api.errors import KubeletError

CAMERA = pod("camera", container(device(1), cpus=[2, 3]))
HOLDS = (Holder("default", "camera", (1,), "u1"),)


@dataclass
class Bed:
    """A place for the socket, an asker, and what it told."""

    path: Path
    now: float = 1e6
    told: list[str | None] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    uids: dict[tuple[str, str], str] = field(
        default_factory=lambda: {("default", "camera"): "u1", ("default", "plain"): "u2"}
    )

    def __post_init__(self) -> None:
        self.asker = Asker(
            self.path,
            answered=lambda: self.told.append(self.asker.latest.problem),
            failed=self.errors.append,
            clock=lambda: self.now,
            uids=lambda: dict(self.uids),
            pause=0.0,
        )


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 60.0)  # on whatever machine
    with short_directory() as directory:
        yield Bed(directory / "kubelet.sock")


def test_pods_devices_and_cpus_as_a_grpc_server_says_them(bed: Bed) -> None:
    kubelet = Kubelet()
    kubelet.say(CAMERA, pod("plain", container()), cpus=range(1, 4))
    with serve(kubelet, bed.path):
        bed.asker.ask()
    found = bed.asker.latest
    assert found.holders == HOLDS
    assert (found.exclusive, found.allocatable) == (CpuSet({2, 3}), CpuSet({1, 2, 3}))
    assert (bed.told, bed.errors) == ([None], [])


def test_devices_are_of_the_pod_that_had_the_name_all_the_while(bed: Bed) -> None:
    """A StatefulSet's next pod has the name of the one before, and perhaps another device."""
    kubelet = Kubelet()
    kubelet.say(CAMERA)
    with serve(kubelet, bed.path):
        bed.uids = {}
        bed.asker.ask()
        assert bed.asker.latest.holders == ()
        seen = iter([{("default", "camera"): "u1"}, {("default", "camera"): "u9"}])
        bed.asker._uids = lambda: next(seen)
        bed.asker.ask()
        assert bed.asker.latest.holders == ()
        bed.asker._uids = lambda: {("default", "camera"): "u9"}
        bed.asker.ask()
    assert bed.asker.latest.holders == (Holder("default", "camera", (1,), "u9"),)


def test_the_same_answer_is_told_once(bed: Bed) -> None:
    kubelet = Kubelet()
    with serve(kubelet, bed.path):
        for _ in range(3):
            bed.asker.ask()
    assert len(kubelet.asked) == 6
    assert bed.told == [None]


def test_an_answer_of_many_windows_comes_whole(bed: Bed) -> None:
    """HTTP/2 lets a server send 64 KiB before it hears from us."""
    kubelet = Kubelet()
    kubelet.say(*(pod(f"pod-{i:04}", container(*[device(i % 4)] * 40)) for i in range(1000)))
    bed.uids = {("default", f"pod-{i:04}"): f"u{i}" for i in range(1000)}
    with serve(kubelet, bed.path):
        bed.asker.ask()
    assert bed.asker.latest.problem is None
    assert len(bed.asker.latest.holders or ()) == 1000


def test_there_is_no_socket(bed: Bed) -> None:
    bed.asker.ask()
    bed.asker.ask()
    assert bed.asker.latest.holders is None
    assert bed.told == [f"there is no {bed.path}"]
    assert len(bed.errors) == 1


def test_nobody_listens(bed: Bed) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(bed.path))
    bed.asker.ask()
    assert bed.asker.latest.problem is not None
    assert "can't be connected to: Connection refused" in bed.asker.latest.problem


def refuse(_request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit: too many calls")
    raise AssertionError


def explode(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (refuse, "gRPC status 8, rate limit: too many calls"),
        (explode, "gRPC status 2"),
        (lambda _r, _c: b"\x0a\x7f", "makes no sense"),
        (lambda _r, _c: bytes(MAX_BYTES + 1), "an answer of 4194305 bytes"),
        (lambda _r, _c: bytes(50 << 20), "an answer of 52428800 bytes"),
    ],
)
def test_what_a_server_may_do_wrong_is_said(bed: Bed, answer: Answer, problem: str) -> None:
    kubelet = Kubelet()
    kubelet.answers["List"] = answer
    with serve(kubelet, bed.path):
        bed.asker.ask()
        assert bed.asker.latest.problem is not None
        assert problem in bed.asker.latest.problem
        assert bed.asker.latest.holders is None
        kubelet.say(CAMERA)
        bed.asker.ask()
    assert bed.asker.latest.holders == HOLDS


def test_a_kubelet_of_before_1_23_has_no_such_method(bed: Bed) -> None:
    with serve(Kubelet(), bed.path), connect(bed.path, seconds=30) as connection:
        with pytest.raises(KubeletError, match="gRPC status 12"):
            connection.call("/v1.PodResourcesLister/Get")
        assert connection.call(LIST) == b""


def test_a_server_that_is_slow_is_given_up(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.2)
    release = threading.Event()
    kubelet = Kubelet()

    def dawdle(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        release.wait()
        return b""

    kubelet.answers["List"] = dawdle
    with serve(kubelet, bed.path):
        bed.asker.ask()
        release.set()
    # Either side may notice first: the server is told the deadline, too.
    assert bed.asker.latest.problem is not None
    assert any(w in bed.asker.latest.problem for w in ("no answer in time", "gRPC status 4"))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "closed the connection"),
        # DATA, which must belong to a stream.
        (b"\0\0\1\0\0\0\0\0\0x", "Error"),
    ],
)
def test_who_listens_does_not_speak_grpc(bed: Bed, said: bytes, problem: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bed.path))
        server.listen()

        def talk() -> None:
            stream, _ = server.accept()
            with stream:
                stream.recv(1)
                stream.sendall(said)
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(1 << 16):
                    pass

        talker = threading.Thread(target=talk)
        talker.start()
        bed.asker.ask()
        talker.join()
    assert bed.asker.latest.problem is not None
    assert problem in bed.asker.latest.problem


def test_a_kubelet_that_restarts_does_not_take_the_devices_away(bed: Bed) -> None:
    kubelet = Kubelet()
    kubelet.say(CAMERA)
    with serve(kubelet, bed.path):
        bed.asker.ask()
    bed.path.unlink(missing_ok=True)
    bed.now += STALE_SECONDS - 1
    bed.asker.ask()
    assert bed.asker.latest.holders == HOLDS
    assert bed.asker.latest.problem is not None
    bed.now += 1
    bed.asker.ask()
    assert bed.asker.latest.holders is None


@pytest.fixture
def running(bed: Bed) -> Iterator[Bed]:
    bed.asker.start()
    yield bed
    bed.asker.stop()


def test_it_is_asked_when_a_pod_changed_and_not_else(running: Bed) -> None:
    kubelet = Kubelet()
    with serve(kubelet, running.path):
        running.asker.look()
        assert running.asker.latest is UNASKED
        running.asker.changed()
        until(lambda: running.asker.latest.holders == (), what="an answer", seconds=60)
        running.asker.look()
        assert kubelet.asked == ["List", "GetAllocatableResources"]
        kubelet.say(CAMERA)
        running.asker.changed()
        until(lambda: running.asker.latest.holders == HOLDS, what="an answer", seconds=60)


@pytest.mark.parametrize("first", [True, False])
def test_a_kubelet_that_comes_later_or_anew_is_asked(running: Bed, first: bool) -> None:
    if first:
        with serve(Kubelet(), running.path):
            running.asker.changed()
            until(lambda: running.asker.latest.holders == (), what="an answer", seconds=60)
    else:
        running.asker.changed()
        until(lambda: running.asker.latest.problem is not None, what="an answer", seconds=60)
    kubelet = Kubelet()
    kubelet.say(CAMERA)
    with serve(kubelet, running.path):
        running.asker.look()
        until(lambda: running.asker.latest.holders == HOLDS, what="an answer", seconds=60)


def test_the_thread_outlives_a_surprise(running: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    surprise: Callable[..., object] = lambda *_: 1 / 0  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(module, "resources", surprise)
        with serve(Kubelet(), running.path):
            running.asker.changed()
            until(
                lambda: any(isinstance(e, ZeroDivisionError) for e in running.errors),
                what="an answer",
                seconds=60,
            )
    with serve(Kubelet(), running.path):
        running.asker.changed()
        until(lambda: running.asker.latest.holders == (), what="an answer", seconds=60)
