"""Whole reconciliations on a fake cgroup tree, with drift and moves."""

import shutil

import pytest
from support.fake_cgroups import UID, FakeKernel, container
from support.pinner_bench import GIB, MIB, NOW, POD, Bench, order

from numapin_api.cpulist import CpuSet, NodeSet


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
