"""The agent dies before or after any write, then starts again with what it had on file."""

import json

import pytest
from support.fake_cgroups import UID
from support.pinner_bench import GIB


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
    again = ["mems=0-1 in a hurry"] if when == "die_before" else []
    assert bench.writer.calls[2:] == [*again, "cpus= mems=0-1"]
    assert (path / "cpuset.mems.effective").read_text() == "0-1\n"
    assert (report.phase, report.drift) == ("Pinned", None)


@pytest.mark.parametrize(("when", "exposed"), [("die_before", ["1"]), ("die_after", [])])
def test_the_next_agent_guards_a_pod_of_which_only_the_file_says_that_it_was_widened(
    bench, when, exposed
):
    bench.pod(running=False)
    bench.reconcile()
    setattr(bench.writer, when, 2)
    with pytest.raises(KeyboardInterrupt):
        bench.pinner.widen(UID)
    bench.writer.die_before = bench.writer.die_after = None
    bench.restart()
    bench.pinner.arm()
    assert [str(e.mems) for e in bench.pinner.exposed()] == exposed


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
