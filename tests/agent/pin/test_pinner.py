"""Whole reconciliations on a fake cgroup tree, with crashes, drift and moves."""

import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.fake_cgroups import UID, FakeKernel, container

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.write import FileCpusets
from numapin_agent.pin import Pinner, PinOrder
from numapin_agent.pin.attempt import Tools
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_agent.pin.look import Eyes
from numapin_agent.pin.worker import Moves
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import MoveError, SystemdError

MIB = 1 << 20
GIB = 1 << 30
POD = f"kubepods/burstable/pod{UID}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Writer(FileCpusets):
    """Writes files, after which the fake kernel computes the effective sets."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.calls: list[str] = []
        self.die_before = self.die_after = None
        self.refuse = False

    def apply(self, pod, *, cpus=None, mems=None):
        self.calls.append(
            f"cpus={'' if cpus is None else cpus} mems={'' if mems is None else mems}"
        )
        if self.refuse:
            raise SystemdError("PID 1 says no")
        if self.die_before == len(self.calls):
            raise KeyboardInterrupt
        super().apply(pod, cpus=cpus, mems=mems)
        self.kernel.settle()
        if self.die_after == len(self.calls):
            raise KeyboardInterrupt

    def widen_mems(self, pod, mems):
        self.calls.append(f"mems={mems} in a hurry")
        if self.die_before == len(self.calls):
            raise KeyboardInterrupt
        super().widen_mems(pod, mems)
        self.kernel.settle()
        if self.die_after == len(self.calls):
            raise KeyboardInterrupt

    def release(self, pod):
        super().release(pod)
        self.kernel.settle()


class Mover:
    """Moves when told to; says what it is told to."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.go = threading.Event()
        self.left: int = 0
        self.error: str | None = None
        self.reason: str | None = None
        self.runs = 0

    def immovable(self):
        return self.reason

    def run(self, job):
        self.runs += 1
        while not self.go.wait(0.005):
            if job.cancelled.is_set():
                return
        if self.error:
            raise MoveError(self.error)
        far = job.pod.memory().off(job.mems)
        job.bytes_left = min(far, self.left)
        job.moved_pages = (far - job.bytes_left) // 4096
        (target,) = job.mems
        memory = {f"N{n}": job.bytes_left for n in (0, 1)} | {f"N{target}": GIB}
        self.kernel.memory(job.pod.path, **memory)


class Bench:
    """A pinner and the world around it."""

    def __init__(self, root, *, cpus: str = "0-3") -> None:
        self.kernel = FakeKernel.make(root / "host", "kubepods", cpus=cpus)
        self.kernel.mkdir("kubepods/burstable")
        (self.kernel.paths.proc / "uptime").write_text("5000.0 1.0\n")
        self.state = root / "state"
        self.available: Mapping[int, int] = {0: 3 * GIB, 1: 3 * GIB}
        self.writer = Writer(self.kernel)
        self.mover = Mover(self.kernel)
        self.time = 0.0
        self.moved = threading.Event()
        self.pinners: list[Pinner] = []
        self.restart()

    def restart(self) -> None:
        """A new agent, with nothing in memory."""
        if self.pinners:
            self.pinners[-1].close()
        paths = self.kernel.paths
        self.pinner = Pinner(
            CgroupHost.discover(paths),
            Tools(
                writer=self.writer,
                eyes=Eyes(
                    proc=paths.proc,
                    available=lambda: self.available,
                    capacity={0: 4 * GIB, 1: 4 * GIB},
                ),
                moves=Moves(self.mover, done=lambda _: self.moved.set(), clock=lambda: self.time),
                checkpoint=Checkpoint(self.state),
                now=lambda: NOW + timedelta(seconds=self.time),
                clock=lambda: self.time,
            ),
        )
        self.pinners.append(self.pinner)

    def close(self) -> None:
        for pinner in self.pinners:
            pinner.close()

    def pod(self, far: int = 0, *, running: bool = True):
        path = self.kernel.mkdir(POD)
        app = self.kernel.mkdir(f"{POD}/{container('a')}")
        self.kernel.mkdir(f"{POD}/{container('b')}")
        if running:
            (app / "cgroup.procs").write_text("70\n71\n")
            for pid in (70, 71):
                directory = self.kernel.paths.proc / str(pid)
                (directory / "task" / str(pid)).mkdir(parents=True)
                fields = " ".join("0" for _ in range(30))
                (directory / "stat").write_text(f"{pid} (a (b) c) S {fields}\n")
        self.kernel.memory(path, N0=far, N1=0)
        return path

    def reconcile(self, wanted=None, history=60.0):
        return self.pinner.reconcile(wanted or order(), history_seconds=history)

    def reconcile_twice(self):
        self.reconcile()
        assert self.moved.wait(10)
        self.reconcile()

    def finish_move(self):
        self.mover.go.set()
        assert self.moved.wait(10)
        self.moved.clear()

    def set(self, path, cpus, mems):
        (path / "cpuset.cpus").write_text(cpus)
        (path / "cpuset.mems").write_text(mems)
        self.kernel.settle()


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def order(**more):
    return replace(
        PinOrder(
            namespace="default",
            name="web",
            uid=UID,
            generation=1,
            mode="Enforce",
            cpus=CpuSet.parse("2-3"),
            mems=NodeSet.parse("1"),
            memory="Strict",
            headroom_percent=10,
            container_names={container("a"): "app"},
        ),
        **more,
    )


def test_no_pod_yet(bench):
    assert bench.reconcile().phase == "Waiting"
    assert bench.pinner.taken() == ()


def test_a_pod_that_starts_pinned_takes_one_write(bench):
    bench.pod(running=False)
    report = bench.reconcile(history=0)
    assert (report.phase, report.problem) == ("Pinned", None)
    assert bench.writer.calls == ["cpus=2-3 mems=1"]
    assert str(report.effective) == "cpus 2-3 mems 1"
    assert [(c.name, str(c.effective)) for c in report.containers] == [("app", "cpus 2-3 mems 1")]
    assert report.applied is not None
    assert (str(report.applied.cpus), str(report.applied.mems)) == ("2-3", "1")
    assert report.applied.time == NOW
    assert bench.pinner.taken() == (UID,)
    for _ in range(3):
        assert bench.reconcile() == report
    assert len(bench.writer.calls) == 1


def test_a_pinned_pod_is_unchanged_until_something_is_new(bench):
    path = bench.pod(running=False)
    assert not bench.pinner.unchanged(UID)
    bench.reconcile()
    assert bench.pinner.unchanged(UID)
    (path / container("a") / "cgroup.procs").write_text("70\n")
    bench.kernel.memory(path, N0=4096, N1=GIB)
    assert bench.pinner.unchanged(UID)


@pytest.mark.parametrize(
    "change",
    [
        lambda bench, path: bench.set(path, "0-1", "1"),
        lambda bench, path: bench.set(path, "2-3", "0"),
        lambda bench, path: bench.set(path / container("a"), "2", ""),
        # Its effective set stays what it was: its own has nothing in common with the pod's.
        lambda bench, path: bench.set(path / container("b"), "0", ""),
        lambda bench, path: bench.set(path.parent, "1-3", ""),
        lambda bench, path: bench.kernel.mkdir(f"{POD}/{container('c')}"),
        lambda bench, path: shutil.rmtree(path / container("b")),
        lambda bench, path: shutil.rmtree(path),
        lambda bench, path: bench.pinner.release(UID),
    ],
)
def test_every_change_to_a_cpuset_is_seen(bench, change):
    path = bench.pod(running=False)
    bench.reconcile()
    assert bench.pinner.unchanged(UID)
    change(bench, path)
    assert not bench.pinner.unchanged(UID)


def test_an_observed_pod_is_unchanged_too(bench):
    path = bench.pod(running=False)
    bench.reconcile(order(mode="Observe", memory="Preferred"))
    assert bench.pinner.unchanged(UID)
    bench.set(path, "0-1", "1")
    assert not bench.pinner.unchanged(UID)


@pytest.mark.parametrize(
    ("memory", "unchanged"), [("None", True), ("Strict", False), ("Preferred", False)]
)
def test_only_pins_of_memory_hang_on_free_memory(bench, memory, unchanged):
    bench.pod(running=False)
    bench.reconcile(order(memory=memory))
    assert bench.pinner.unchanged(UID)
    bench.available = {0: 3 * GIB, 1: 0}
    assert bench.pinner.unchanged(UID) is unchanged


def test_a_running_pod_baseline_cpus_pages_memory(bench):
    bench.pod(far=GIB)
    assert bench.reconcile(history=10).phase == "Baseline"
    assert bench.writer.calls == []
    assert bench.pinner.taken() == ()
    report = bench.reconcile()
    assert report.phase == "Moving"
    assert report.moving is not None
    assert (report.moving.bytes_done, report.moving.bytes_total) == (0, GIB)
    assert bench.writer.calls == ["cpus=2-3 mems="]
    assert bench.reconcile().phase == "Moving"
    bench.mover.left = 20 * MIB
    bench.finish_move()
    report = bench.reconcile()
    assert (report.phase, report.problem) == ("Pinned", None)
    assert bench.writer.calls == ["cpus=2-3 mems=", "cpus= mems=1"]
    assert report.moved_pages == (GIB - 20 * MIB) // 4096
    assert bench.mover.runs == 1
    assert bench.reconcile().moved_pages == report.moved_pages


def test_observe_never_writes_and_gives_back_what_was_written(bench):
    path = bench.pod(running=False)
    assert bench.reconcile(order(mode="Observe")).phase == "Observing"
    assert bench.writer.calls == []
    bench.reconcile()
    assert bench.reconcile(order(mode="Observe")).phase == "Observing"
    assert (path / "cpuset.cpus.effective").read_text() == "0-3\n"
    assert (path / "cpuset.mems.effective").read_text() == "0-1\n"
    assert bench.pinner.taken() == ()


def test_release_while_pages_move_stops_them(bench):
    path = bench.pod(far=GIB)
    assert bench.reconcile().phase == "Moving"
    assert bench.pinner.release(UID).phase == "Unpinned"
    assert (path / "cpuset.cpus.effective").read_text() == "0-3\n"
    assert bench.pinner.taken() == ()
    bench.pinner.close()
    assert not bench.moved.is_set()


def test_release_of_what_is_not_ours_or_gone(bench):
    assert bench.pinner.release(UID).phase == "Unpinned"
    bench.set(bench.pod(), "0-1", "0")
    assert bench.pinner.release(UID).phase == "Unpinned"
    assert bench.writer.calls == []


def test_drift_is_counted_told_and_mended(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    bench.set(path, "0-1", "0")
    report = bench.reconcile()
    assert (report.phase, report.problem) == ("Pinned", None)
    assert report.drift is not None
    assert (str(report.drift.cpus), str(report.drift.mems), report.drift.count) == ("0-1", "0", 1)
    assert str(report.effective) == "cpus 2-3 mems 1"
    assert bench.reconcile().drift == report.drift
    bench.restart()
    bench.set(path, "0-3", "1")
    drift = bench.reconcile().drift
    assert drift is not None
    assert (str(drift.cpus), drift.count) == ("0-3", 2)


def test_a_fight_is_left_alone_and_taken_up_later(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    for _ in range(5):
        bench.set(path, "0-1", "0")
        assert bench.reconcile().problem is None
    bench.set(path, "0-1", "0")
    writes = len(bench.writer.calls)
    report = bench.reconcile()
    assert report.problem is not None
    assert report.problem.reason == "Conflict"
    assert len(bench.writer.calls) == writes
    bench.time += 601
    assert bench.reconcile().problem is None
    assert str(bench.reconcile().effective) == "cpus 2-3 mems 1"


def test_a_container_with_a_cpuset_elsewhere_is_a_conflict(bench):
    path = bench.pod(running=False)
    bench.set(path / container("a"), "0-1", "")
    report = bench.reconcile()
    assert report.phase == "Refused"
    assert report.problem is not None
    assert "container app has cpuset.cpus 0-1" in report.problem.message
    assert bench.writer.calls == []


def test_another_socket_goes_the_same_gentle_way(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    bench.kernel.memory(path, N0=0, N1=GIB)
    other = order(cpus=CpuSet.parse("0-1"), mems=NodeSet.parse("0"), generation=2)
    assert bench.reconcile(other).phase == "Moving"
    assert bench.writer.calls[1:] == ["cpus=0-1 mems=", "cpus= mems=0-1"]
    bench.finish_move()
    report = bench.reconcile(other)
    assert (report.phase, str(report.effective)) == ("Pinned", "cpus 0-1 mems 0")
    assert bench.writer.calls[3:] == ["cpus= mems=0"]
    assert report.drift is None


@pytest.mark.parametrize(
    ("left", "error", "reason"),
    [(GIB, None, "NotConverging"), (0, "process 70: Operation not permitted", "PageMoveFailed")],
)
def test_pages_that_stay_cost_the_memory_pin_and_are_tried_again(bench, left, error, reason):
    bench.pod(far=GIB)
    bench.mover.left, bench.mover.error = left, error
    bench.reconcile()
    bench.finish_move()
    report = bench.reconcile()
    assert report.phase == "Pinned"
    assert report.problem is not None
    assert report.problem.reason == reason
    assert str(report.effective) == "cpus 2-3 mems 0-1"
    bench.time += 301
    bench.mover.left, bench.mover.error = 0, None
    assert bench.reconcile().phase == "Moving"
    assert bench.moved.wait(10)
    assert str(bench.reconcile().effective) == "cpus 2-3 mems 1"


def test_without_the_capability_big_pods_get_cpus_only(bench):
    bench.pod(far=GIB)
    bench.mover.reason = "the agent lacks the capability SYS_PTRACE"
    report = bench.reconcile()
    assert report.problem is not None
    assert report.problem.reason == "CannotMovePages"
    assert "SYS_PTRACE" in report.problem.message
    assert bench.mover.runs == 0


def test_strict_without_room_writes_nothing_and_says_the_numbers(bench):
    bench.pod(far=2 * GIB)
    bench.available = {0: GIB, 1: 2 * GIB}
    report = bench.reconcile()
    assert (report.phase, bench.writer.calls) == ("Refused", [])
    assert report.problem is not None
    assert report.problem.reason == "NoRoom"
    assert str(2 * GIB) in report.problem.message
    assert bench.pinner.taken() == ()


def test_room_that_vanishes_while_pages_move_gives_everything_back(bench):
    path = bench.pod(far=GIB)
    assert bench.reconcile().phase == "Moving"
    bench.available = {0: 3 * GIB, 1: GIB}
    report = bench.reconcile()
    assert report.phase == "Refused"
    assert (path / "cpuset.cpus.effective").read_text() == "0-3\n"


def test_preferred_widens_and_narrows_again(bench):
    bench.pod(running=False)
    wanted = order(memory="Preferred")
    bench.reconcile(wanted)
    bench.available = {0: 3 * GIB, 1: 100 * MIB}
    report = bench.reconcile(wanted)
    assert str(report.effective) == "cpus 2-3 mems 0-1"
    assert report.problem is not None
    assert report.problem.reason == "RanLow"
    assert report.drift is None
    bench.restart()
    bench.available = {0: 3 * GIB, 1: 3 * GIB}
    report = bench.reconcile(wanted)
    assert report.problem is not None
    assert report.problem.reason == "RanLow"
    bench.time += 600
    report = bench.reconcile(wanted)
    assert (str(report.effective), report.problem) == ("cpus 2-3 mems 1", None)


def test_a_socket_that_fills_and_empties_all_day_does_not_make_the_pin_flap(bench):
    bench.pod(running=False)
    bench.reconcile()
    bench.writer.calls.clear()
    for minute in range(120):
        bench.time += 60
        bench.available = {0: 3 * GIB, 1: (minute % 2) * 3 * GIB}
        bench.reconcile()
    # Twice in about ten minutes: wider, and back.
    assert 10 <= len(bench.writer.calls) <= 24


@pytest.mark.parametrize("memory", ["Strict", "Preferred"])
def test_the_guard_widens_by_file_and_systemd_is_told_at_the_next_look(bench, memory):
    path = bench.pod(running=False)
    wanted = order(memory=memory)
    bench.reconcile(wanted)
    (exposed,) = bench.pinner.exposed()
    assert (exposed.uid, str(exposed.mems)) == (UID, "1")
    assert exposed.least == 4 * GIB * (2 if memory == "Strict" else 10) // 100
    assert bench.pinner.widen(UID)
    assert (path / "cpuset.mems.effective").read_text() == "0-1\n"
    assert bench.writer.calls[1:] == ["mems=0-1 in a hurry"]
    assert bench.pinner.exposed() == ()
    assert not bench.pinner.unchanged(UID)
    report = bench.reconcile(wanted)
    assert bench.writer.calls[2:] == ["cpus= mems=0-1"]
    assert (report.phase, report.problem.reason, report.drift) == ("Pinned", "RanLow", None)
    assert str(report.effective) == "cpus 2-3 mems 0-1"
    for _ in range(3):
        bench.reconcile(wanted)
    assert len(bench.writer.calls) == 3
    assert not bench.pinner.widen(UID)


def test_a_pod_that_is_not_bound_is_not_exposed_and_not_widened(bench):
    bench.pod(running=False)
    bench.reconcile(order(memory="None", mems=None))
    assert bench.pinner.exposed() == ()
    assert not bench.pinner.widen(UID)
    assert not bench.pinner.widen("somebody-else")


def test_a_pod_that_goes_or_is_released_is_exposed_no_more(bench):
    told = []
    bench.pod(running=False)
    bench.pinner._exposure_changed = lambda: told.append(len(bench.pinner.exposed()))
    bench.reconcile()
    bench.pinner.release(UID)
    bench.reconcile()
    shutil.rmtree(bench.kernel.paths.cgroup / POD)
    bench.reconcile()
    assert told == [1, 0, 1, 0]


def test_the_guard_does_not_wait_for_a_pod_that_is_being_reconciled(bench):
    bench.pod(running=False)
    bench.reconcile()
    with bench.pinner._lock(UID):
        assert not bench.pinner.widen(UID)
    assert bench.pinner.widen(UID)


@pytest.mark.parametrize("when", ["die_before", "die_after"])
def test_a_crash_while_widening_leaves_a_wide_pod_of_which_systemd_is_told(bench, when):
    path = bench.pod(running=False)
    bench.reconcile()
    setattr(bench.writer, when, 2)
    with pytest.raises(KeyboardInterrupt):
        bench.pinner.widen(UID)
    bench.writer.die_before = bench.writer.die_after = None
    bench.restart()
    report = bench.reconcile(history=0)
    assert bench.writer.calls[2:] == ["cpus= mems=0-1"]
    assert (path / "cpuset.mems.effective").read_text() == "0-1\n"
    assert (report.phase, report.drift) == ("Pinned", None)


def test_page_moves_to_where_there_is_no_room_stop(bench):
    bench.pod(far=GIB)
    wanted = order(memory="Preferred")
    assert bench.reconcile(wanted).phase == "Moving"
    bench.available = {0: 3 * GIB, 1: 100 * MIB}
    report = bench.reconcile(wanted)
    assert (report.phase, report.problem.reason) == ("Pinned", "NoRoom")
    bench.pinner.close()  # waits for the mover, which has been stopped
    assert bench.mover.go.is_set() is False


def test_systemd_that_refuses_is_told_and_the_pod_stays_on_file(bench):
    bench.pod(running=False)
    bench.writer.refuse = True
    report = bench.reconcile()
    assert report.phase == "Refused"
    assert report.problem is not None
    assert (report.problem.reason, report.problem.message) == ("SystemdRefused", "PID 1 says no")
    assert bench.pinner.taken() == (UID,)
    assert bench.pinner.release(UID).problem is not None
    assert bench.pinner.taken() == (UID,)
    bench.writer.refuse = False
    assert bench.pinner.release(UID).problem is None
    assert bench.pinner.taken() == ()


def test_no_record_no_write(bench):
    bench.pod(running=False)
    bench.state.write_text("a file where the directory should be")
    report = bench.reconcile()
    assert report.phase == "Refused"
    assert report.problem is not None
    assert report.problem.reason == "StateUnavailable"
    assert bench.writer.calls == []


def test_a_kernel_that_does_not_take_it_is_told(bench):
    path = bench.pod(running=False)
    bench.writer.kernel = FakeKernel(bench.kernel.paths, cpus="0-2")
    report = bench.reconcile()
    assert report.problem is not None
    assert report.problem.reason == "CgroupUnavailable"
    assert "the kernel has cpus 2 mems 1 after cpus 2-3 mems 1" in report.problem.message
    assert path.is_dir()


def test_gone_pods_are_forgotten(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    shutil.rmtree(path)
    assert bench.pinner.taken() == ()
    assert list(bench.state.iterdir()) == []
    assert bench.reconcile().phase == "Waiting"


def test_other_hosts_are_refused_and_untouched(tmp_path):
    bench = Bench(tmp_path)
    bench.pod(running=False)
    (bench.kernel.paths.cgroup / "cgroup.controllers").unlink()
    (bench.kernel.paths.cgroup / "cpuset").mkdir()
    bench.restart()
    report = bench.reconcile()
    bench.close()
    assert report.phase == "Refused"
    assert report.problem is not None
    assert report.problem.reason == "Unsupported"
    assert bench.writer.calls == []


# Crashes: the agent dies before or after any write, then starts again.


@pytest.mark.parametrize("when", ["die_before", "die_after"])
@pytest.mark.parametrize("write", [1, 2])
def test_a_crash_at_any_write_leaves_the_pod_on_file_and_the_next_agent_finishes(
    bench, when, write
):
    bench.pod(far=GIB)
    setattr(bench.writer, when, write)
    bench.mover.go.set()
    with pytest.raises(KeyboardInterrupt):
        bench.reconcile_twice()
    assert bench.pinner.taken() == (UID,)
    bench.writer.die_before = bench.writer.die_after = None
    bench.restart()
    assert bench.pinner.taken() == (UID,)
    report = bench.reconcile(history=0)
    if report.phase == "Moving":
        bench.finish_move()
        report = bench.reconcile(history=0)
    assert (report.phase, report.problem) == ("Pinned", None)
    assert str(report.effective) == "cpus 2-3 mems 1"
    assert report.drift is None


def test_an_agent_that_dies_while_pages_move_never_says_that_they_are_there(bench):
    path = bench.pod(far=GIB)
    assert bench.reconcile().phase == "Moving"
    bench.kernel.memory(path, N0=GIB // 2, N1=GIB // 2)  # half-way
    bench.restart()
    assert bench.pinner.taken() == (UID,)
    report = bench.reconcile(history=0)
    assert (report.phase, report.applied is not None) == ("Moving", True)
    assert report.moving is not None
    assert (report.moving.bytes_done, report.moving.bytes_total) == (0, GIB // 2)
    assert str(report.effective) == "cpus 2-3 mems 0-1"
    bench.finish_move()
    report = bench.reconcile(history=0)
    assert (report.phase, str(report.effective)) == ("Pinned", "cpus 2-3 mems 1")
    assert report.drift is None


def test_an_agent_that_dies_while_pages_move_gives_back_what_is_no_longer_wanted(bench):
    path = bench.pod(far=GIB)
    assert bench.reconcile().phase == "Moving"
    bench.restart()
    assert bench.pinner.release(UID).phase == "Unpinned"
    assert (path / "cpuset.cpus.effective").read_text() == "0-3\n"
    assert (bench.pinner.taken(), bench.mover.runs) == ((), 1)


@pytest.mark.parametrize("when", ["die_before", "die_after"])
def test_a_crash_before_un_pinning_is_done_is_taken_up(bench, when):
    path = bench.pod(running=False)
    bench.reconcile()
    setattr(bench.writer, when, 2)
    with pytest.raises(KeyboardInterrupt):
        bench.pinner.release(UID)
    assert bench.pinner.taken() == (UID,)
    bench.restart()
    assert bench.pinner.release(UID).phase == "Unpinned"
    assert (path / "cpuset.cpus.effective").read_text() == "0-3\n"


def test_a_restart_takes_pins_up_without_writing(bench):
    bench.pod(running=False)
    first = bench.reconcile()
    bench.restart()
    assert bench.reconcile(history=0) == first
    assert len(bench.writer.calls) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "uid": 7}'])
def test_a_spoilt_record_still_means_ours(bench, text):
    path = bench.pod(running=False)
    bench.reconcile()
    (bench.state / f"{UID}.json").write_text(text)
    bench.restart()
    assert bench.pinner.taken() == (UID,)
    assert bench.reconcile(history=0).phase == "Pinned"
    (bench.state / f"{UID}.json").write_text(text)
    assert bench.pinner.release(UID).phase == "Unpinned"
    assert (path / "cpuset.cpus.effective").read_text() == "0-3\n"


def test_a_record_is_one_small_file_and_no_temporary_is_left(bench):
    bench.pod(running=False)
    bench.reconcile()
    (file,) = bench.state.iterdir()
    value = json.loads(file.read_text())
    assert (value["uid"], value["cpus"], value["mems"]) == (UID, "2-3", "1")
    assert file.stat().st_size < 1024


def test_one_pod_at_a_time_and_close_stops_at_once(bench):
    bench.pod(far=GIB)
    second = bench.kernel.mkdir("kubepods/burstable/podsecond")
    for number in (1, 2):
        (second / "cgroup.procs").write_text(f"7{number - 1}\n7{number}\n")
    bench.kernel.memory(second, N0=GIB, N1=0)
    assert bench.reconcile().phase == "Moving"
    assert bench.reconcile(order(uid="second")).phase == "Moving"
    bench.pinner.close()
    assert bench.mover.runs <= 1
    assert sorted(bench.pinner.taken()) == sorted([UID, "second"])


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"generation": 2, "memory": "Preferred"},
        {"generation": 2, "headroom_percent": 30},
        {"generation": 2, "memory": "Preferred", "headroom_percent": 0},
    ],
)
def test_other_terms_for_the_same_socket_write_nothing(bench, change):
    bench.pod(running=False)
    bench.reconcile()
    report = bench.reconcile(order(**change))
    assert (report.phase, report.problem) == ("Pinned", None)
    assert bench.writer.calls == ["cpus=2-3 mems=1"]
    assert report.drift is None


def test_a_wider_or_narrower_place_is_written_over_the_old_one(bench):
    """Never by way of the parent's set: each write leads from one pin to the next."""
    path = bench.pod(running=False)
    bench.reconcile()
    bench.reconcile(order(generation=2, cpus=CpuSet.parse("2")))
    bench.reconcile(order(generation=3, mems=None, memory="None"))
    assert bench.writer.calls == [
        "cpus=2-3 mems=1",
        "cpus=2 mems=",
        "cpus= mems=0-1",
        "cpus=2-3 mems=",
    ]
    assert (path / "cpuset.cpus.effective").read_text() == "2-3\n"


def test_a_mirror_pod_is_pinned_once_its_own_containers_are_seen(bench):
    path = bench.pod()
    report = bench.reconcile(order(mirrors=True))
    assert report.phase == "Pinned"
    shutil.rmtree(path / container("a"))  # it restarts
    assert bench.reconcile(order(mirrors=True)).phase == "Pinned"


@pytest.mark.parametrize("mode", ["Enforce", "Observe"])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_mirror_pod_without_a_container_there_gets_nothing_and_learns_nothing(
    bench, mode, pinned
):
    bench.pod(far=GIB)
    if pinned:
        bench.reconcile()
        bench.writer.calls.clear()
    thief = order(mirrors=True, mode=mode, name="thief", container_names={container("c"): "app"})
    report = bench.reconcile(thief)
    assert (report.phase, report.problem.reason) == ("Refused", "NotItsCgroup")
    assert (report.memory, report.effective, report.containers) == ({}, None, ())
    assert bench.writer.calls == []
    assert bench.pinner.taken() == ((UID,) if pinned else ())


def test_a_fight_over_a_cpuset_costs_little_however_long_it_goes_on(bench, caplog):
    """A privileged container may write its own pod's cpuset before each look."""
    path = bench.pod()
    bench.reconcile()
    bench.writer.calls.clear()
    caplog.clear()
    for _ in range(360):
        bench.time += 10
        bench.set(path, "0-3", "0-1")
        bench.reconcile()
    # Six times in each ten minutes of this hour.
    assert 6 <= len(bench.writer.calls) <= 40
    assert len(caplog.records) <= 40
