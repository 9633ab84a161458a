"""Memory that is short, or runs short later: what is refused, given back and widened."""

import contextlib
import shutil
import threading

import pytest
from support.fake_cgroups import UID
from support.pinner_bench import GIB, MIB, POD, order

from numapin_agent.guard.rules import Exposed
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CgroupError


@pytest.mark.parametrize(
    ("memory", "unchanged"), [("None", True), ("Strict", False), ("Preferred", False)]
)
def test_only_pins_of_memory_hang_on_free_memory(bench, memory, unchanged):
    bench.pod(running=False)
    bench.reconcile(order(memory=memory))
    assert bench.pinner.unchanged(UID)
    bench.available = {0: 3 * GIB, 1: 0}
    assert bench.pinner.unchanged(UID) is unchanged


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
    told = [call for call in bench.writer.calls if "hurry" not in call]
    assert 10 <= len(told) <= 24


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


def test_a_pod_that_the_loop_is_at_keeps_the_guard_from_no_other(bench):
    bench.pod(running=False)
    bench.reconcile()
    locks = [bench.pinner._lock(f"pod-{number}") for number in range(1000)]
    with contextlib.ExitStack() as held:
        for lock in locks:
            held.enter_context(lock)
        assert bench.pinner.widen(UID)


def test_no_lock_stays_behind(bench):
    bench.pod(running=False)
    for uid in (UID, "gone", "gone-too"):
        bench.reconcile(order(uid=uid))
        bench.pinner.widen(uid)
    assert len(bench.pinner._locks) == 0


@pytest.mark.parametrize("memory", ["Strict", "Preferred"])
def test_the_loop_too_widens_by_file_before_it_asks_pid_1(bench, memory):
    path = bench.pod(running=False)
    wanted = order(memory=memory)
    bench.reconcile(wanted)
    bench.available = {0: 3 * GIB, 1: 0}
    seen = []
    apply = bench.writer.apply
    bench.writer.apply = lambda *args, **sets: (
        seen.append((path / "cpuset.mems.effective").read_text()),
        apply(*args, **sets),
    )
    bench.reconcile(wanted)
    assert seen == ["0-1\n"]
    assert bench.writer.calls[1:] == ["mems=0-1 in a hurry", "cpus= mems=0-1"]


def test_pid_1_that_does_not_answer_keeps_no_pod_narrow_and_is_told_later(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    bench.available = {0: 3 * GIB, 1: 0}
    bench.writer.refuse = True
    for _ in range(2):
        report = bench.reconcile()
        assert report.problem.reason == "SystemdRefused"
        assert str(report.effective) == "cpus 2-3 mems 0-1"
        assert (path / "cpuset.mems.effective").read_text() == "0-1\n"
        assert bench.pinner.exposed() == ()
    bench.writer.refuse = False
    bench.restart()
    report = bench.reconcile()
    assert bench.writer.calls[-1] == "cpus= mems=0-1"
    assert (report.phase, report.problem.reason, report.drift) == ("Pinned", "RanLow", None)
    told = len(bench.writer.calls)
    bench.reconcile()
    assert len(bench.writer.calls) == told


def test_an_agent_that_knows_no_orders_yet_guards_what_is_on_file(bench):
    """As after a restart while the API server is away: nothing is reconciled."""
    path = bench.pod(running=False)
    bench.reconcile(order(memory="Preferred", headroom_percent=30))
    bench.restart()
    assert bench.pinner.exposed() == ()
    bench.pinner.arm()
    (exposed,) = bench.pinner.exposed()
    assert (exposed.uid, str(exposed.mems), exposed.least) == (UID, "1", 4 * GIB * 2 // 100)
    assert bench.pinner.widen(UID)
    assert (path / "cpuset.mems.effective").read_text() == "0-1\n"
    # What was asked for is known again.
    report = bench.reconcile(order(memory="Preferred", headroom_percent=30))
    assert (report.problem.reason, report.drift) == ("RanLow", None)


def test_the_order_when_it_comes_says_more_than_the_file(bench):
    bench.pod(running=False)
    wanted = order(memory="Preferred", headroom_percent=30)
    bench.reconcile(wanted)
    before = bench.pinner.exposed()
    bench.restart()
    bench.pinner.arm()
    bench.reconcile(wanted)
    assert bench.pinner.exposed() == before


@pytest.mark.parametrize("text", ["", "{", '{"version": 2}'])
def test_one_record_that_can_not_be_read_leaves_the_others_guarded(bench, text, caplog):
    bench.pod(running=False)
    bench.reconcile()
    (bench.state / "0-spoilt.json").write_text(text)
    bench.kernel.mkdir("kubepods/burstable/pod0-spoilt")
    bench.restart()
    bench.pinner.arm()
    assert [e.uid for e in bench.pinner.exposed()] == [UID]
    assert "pod 0-spoilt was pinned before and is not guarded yet" in caplog.text


def test_of_what_is_on_file_only_what_our_pin_binds_is_guarded(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    bench.set(path, "2-3", "0")  # somebody else's
    bench.restart()
    bench.pinner.arm()
    assert bench.pinner.exposed() == ()
    bench.set(path, "2-3", "0-1")
    bench.pinner.arm()
    assert bench.pinner.exposed() == ()
    shutil.rmtree(path)
    bench.pinner.arm()
    assert bench.pinner.exposed() == ()


def test_a_pod_that_can_not_be_looked_at_is_guarded_on(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    before = bench.pinner.exposed()
    (path / "memory.numa_stat").write_text("anon N0=lots\n")
    assert bench.reconcile().phase == "Refused"
    assert bench.pinner.exposed() == before
    assert bench.pinner.widen(UID)


def test_a_widening_that_the_kernel_refuses_is_tried_by_the_guard_too(bench):
    path = bench.pod(running=False)
    bench.reconcile()
    before = bench.pinner.exposed()
    bench.available = {0: 3 * GIB, 1: 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.writer, "widen_mems", refuse)
        assert bench.reconcile().problem.reason == "CgroupUnavailable"
    assert bench.pinner.exposed() == before
    assert bench.pinner.widen(UID)
    assert (path / "cpuset.mems.effective").read_text() == "0-1\n"


def refuse(*_args):
    raise CgroupError("no")


def test_the_loop_and_the_guard_lose_nobody_to_each_other(bench):
    """The one takes a pod out while the other takes another in."""
    pinner = bench.pinner
    pods = {uid: Exposed(uid, NodeSet({1}), 5) for uid in ("a", "b")}
    pinner._put_exposed("a", pods["a"])
    other = threading.Thread(target=pinner._put_exposed, args=("b", pods["b"]))

    class Slow(dict):
        def items(self):
            # While one of them has read the old state, and not written the new one.
            if threading.current_thread() is not other and other.ident is None:
                other.start()
                other.join(0.2)
            return super().items()

    pinner._exposed = Slow(pinner._exposed)
    pinner._put_exposed("a", None)
    other.join(5)
    assert [e.uid for e in pinner.exposed()] == ["b"]


def test_page_moves_to_where_there_is_no_room_stop(bench):
    bench.pod(far=GIB)
    wanted = order(memory="Preferred")
    assert bench.reconcile(wanted).phase == "Moving"
    bench.available = {0: 3 * GIB, 1: 100 * MIB}
    report = bench.reconcile(wanted)
    assert (report.phase, report.problem.reason) == ("Pinned", "NoRoom")
    bench.pinner.close()  # waits for the mover, which has been stopped
    assert bench.mover.go.is_set() is False
