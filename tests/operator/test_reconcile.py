"""The loop with everything but the network: what is written, when, and when nothing is."""

import asyncio
from typing import Any

import pytest
from support.operator_objects import good_report, two_sockets
from support.operator_parts import Parts

from numapin_api.names import API_VERSION
from numapin_operator.verdict import SILENT_AFTER

NAMED: dict[str, Any] = {"metadata": {"name": "n"}}


def errors(parts: Parts, where: str) -> float:
    found = parts.registry.get_sample_value("numapin_operator_errors_total", {"where": where})
    return found or 0.0


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.node()
    return made.start()


def test_every_pod_gets_one_pin_and_one_status(parts: Parts):
    parts.pod("redis")
    parts.settle()
    assert parts.cluster.writes == ["pin default/redis", "numapins status default/redis"]
    assert parts.sockets() == {"redis": 0}
    assert parts.verdicts() == {"redis": "Pending"}


def test_a_second_look_writes_nothing(parts: Parts):
    parts.pod("redis")
    parts.settle()
    parts.cluster.writes.clear()
    parts.reconciler.mark(parts.store.everything())
    parts.settle()
    assert parts.cluster.writes == []


def test_pods_that_come_at_once_are_not_promised_the_same_room(parts: Parts):
    for name in "abcd":
        parts.pod(name, cpu="1500m")
    parts.settle()
    assert sorted(map(str, parts.sockets().values())) == ["0", "1", "None", "None"]


def test_promised_room_counts_before_the_write_is_back(parts: Parts):
    """Two workers: the first waits for the API server while the second decides."""
    parts.pod("a", cpu="1500m")
    parts.pod("b", cpu="1500m")
    first = parts.reconciler._decide(parts.store.pods["default", "a"], None)
    second = parts.reconciler._decide(parts.store.pods["default", "b"], None)
    assert (first.spec.socket, second.spec.socket) == (0, 1)


def test_room_of_a_failed_write_is_free_again(parts: Parts):
    parts.cluster.fail = 1
    parts.pod("a", cpu="1500m")
    parts.settle(0.1)
    assert parts.sockets() == {}
    parts.tell_gone("pods", ("default", "a"))
    parts.pod("b", cpu="1500m")
    parts.settle()
    assert parts.sockets() == {"b": 0}


def test_writes_that_fail_are_tried_again(parts: Parts):
    parts.cluster.fail = 5
    parts.pod("redis")
    parts.settle()
    assert parts.verdicts() == {"redis": "Pending"}
    assert errors(parts, "ApiError") == 5


def test_a_lost_event_costs_nothing_else(parts: Parts):
    parts.cluster.no_events = True
    parts.pod("bad", annotations={"numapin.io/mode": "x"})
    parts.settle()
    assert parts.verdicts() == {"bad": "Invalid"}
    assert errors(parts, "event") == 1


def test_a_crash_in_one_pods_case_does_not_stop_the_others(parts: Parts, caplog):
    parts.cluster.crash_on = "broken"
    parts.pod("broken")
    parts.pod("fine")
    parts.settle(2)
    assert parts.sockets() == {"fine": 0}
    assert errors(parts, "reconcile") >= 1
    assert "RuntimeError: nobody expects this" in caplog.text
    parts.cluster.crash_on = ""
    parts.settle()
    assert parts.sockets() == {"broken": 1, "fine": 0}


def test_orphans_are_deleted_after_the_lists_are_complete():
    parts = Parts()
    parts.node()
    parts.pod("redis")
    parts.start()
    parts.cluster.remove("pods", ("default", "redis"))
    again = parts.again()
    assert again.sockets() == {}
    assert again.cluster.writes[-1] == "delete default/redis"


def test_restart_writes_nothing(parts: Parts):
    parts.policy("p", priority=1)
    for name in "abcde":
        parts.pod(name, cpu="900m")
    parts.pod("bad", annotations={"numapin.io/socket": "9"})
    parts.pod("lost", node="elsewhere")
    parts.settle()
    parts.observe("a", good_report(parts.cluster.pin("default", "a"), since=parts.time()))
    parts.settle(60)
    assert parts.verdicts()["a"] == "Verified"
    parts.cluster.writes.clear()
    parts.again()
    assert parts.cluster.writes == []


def test_stale_watch_events_do_not_undo_what_is_known(parts: Parts):
    parts.pod("redis")
    old = {**parts.cluster.objects_of["pods"]["default", "redis"]}
    parts.settle()
    stale = dict(parts.cluster.pin("default", "redis"))
    stale.pop("status")
    stale["metadata"] = stale["metadata"] | {"resourceVersion": "1"}
    parts.informer.heard("numapins", {"type": "MODIFIED", "object": stale})
    parts.informer.heard("pods", {"type": "MODIFIED", "object": old})
    parts.cluster.writes.clear()
    parts.settle()
    assert parts.cluster.writes == []


def test_deletion_of_the_predecessor_is_not_taken_for_the_pod_itself(parts: Parts):
    first = parts.pod("db-0")
    parts.settle()
    parts.cluster.remove("pods", ("default", "db-0"))
    parts.pod("db-0")
    parts.informer.heard("pods", {"type": "DELETED", "object": first})
    parts.settle()
    pin = parts.pin("db-0")
    assert pin is not None
    assert pin["spec"]["podUID"] != first["metadata"]["uid"]


def test_policy_counts_are_written_once_for_many_pods(parts: Parts):
    parts.policy("p")
    for name in "abcdef":
        parts.pod(name)
    parts.settle()
    (status,) = [w for w in parts.cluster.writes if w.startswith("numapolicies")]
    assert status == "numapolicies status p"
    assert parts.cluster.objects_of["numapolicies"]["", "p"]["status"]["matched"] == 6


@pytest.mark.parametrize("seconds", [60, 3600])
def test_a_silent_agent_is_noticed_without_any_event(parts: Parts, seconds: int):
    parts.policy("p", verification={"window": f"{seconds}s"})
    parts.pod("redis")
    parts.settle()
    pin = parts.cluster.pin("default", "redis")
    report = good_report(pin, since=parts.time(), seconds=float(seconds))
    parts.settle(seconds)
    parts.observe("redis", report)
    parts.settle(60)
    assert parts.verdicts() == {"redis": "Verified"}
    # A living agent may have nothing newer until the next window is whole, and restart meanwhile.
    parts.settle(2 * seconds + SILENT_AFTER.total_seconds() - 70)
    assert parts.verdicts() == {"redis": "Verified"}
    parts.settle(20)
    assert parts.verdicts() == {"redis": "NoSignal"}
    parts.cluster.writes.clear()
    parts.settle()
    assert parts.cluster.writes == []


def test_an_agent_that_counts_nothing_is_missed_as_well(parts: Parts):
    """No window has a time there that could tell: the report itself is dated."""
    blind = two_sockets()
    blind["capabilities"]["signals"] = [
        {"name": name, "level": "none"} for name in ("numaMigrations", "hintFaults")
    ]
    parts.node(status=blind)
    parts.policy("p")
    parts.pod("redis")
    parts.settle()
    report = good_report(parts.cluster.pin("default", "redis"), since=parts.time())
    del report["counters"]
    for _ in range(3):  # alive: it says the same again
        parts.observe("redis", report | {"time": parts.time()})
        parts.settle(900)
        assert parts.verdicts() == {"redis": "Verified"}
    parts.settle(SILENT_AFTER.total_seconds() - 900 - 10)
    assert parts.verdicts() == {"redis": "Verified"}
    parts.settle(20)
    assert parts.verdicts() == {"redis": "NoSignal"}


@pytest.mark.parametrize("strategy", ["Spread", "Pack", "FollowMemory"])
def test_a_running_pod_is_placed_when_the_agent_has_said_where_its_memory_is(
    parts: Parts, strategy: str
):
    parts.policy("p", placement={"strategy": strategy})
    pod = parts.pod("redis", node="n2")
    parts.tell("pods", pod | {"status": {"phase": "Running"}})
    parts.settle()
    assert parts.reason("redis") == "NoAgent"
    parts.node("n2")
    parts.settle()
    assert parts.reason("redis") == "AwaitingResidency"
    assert parts.verdicts() == {"redis": "Pending"}
    parts.observe("redis", {"phase": "Waiting"})
    parts.settle()
    assert parts.reason("redis") == "AwaitingResidency"
    memory = [{"node": 0, "bytes": 1 << 20}, {"node": 1, "bytes": 1 << 28}]
    parts.observe("redis", {"phase": "Unpinned", "memory": memory})
    parts.settle()
    assert parts.sockets() == {"redis": 1}


def test_what_only_the_answer_to_our_own_write_tells_is_not_missed(parts: Parts):
    """The agent reports between two writes of ours, and the watch is behind both."""
    memory = [{"node": 0, "bytes": 1 << 20}, {"node": 1, "bytes": 1 << 28}]
    parts.cluster.quick_agent = {"phase": "Unpinned", "memory": memory}
    pod = parts.pod("redis")
    parts.tell("pods", pod | {"status": {"phase": "Running"}})
    parts.settle()
    assert parts.sockets() == {"redis": 1}


def test_an_agent_that_can_never_say_does_not_keep_a_pod_waiting(parts: Parts):
    pod = parts.pod("redis", node="n2")
    parts.tell("pods", pod | {"status": {"phase": "Running"}})
    parts.node("n2")
    parts.settle()
    problem = {"reason": "Unsupported", "message": "cgroup v1"}
    parts.observe("redis", {"phase": "Refused", "problem": problem})
    parts.settle()
    parts.observe("redis", {"phase": "Refused", "problem": problem})
    parts.settle()
    assert parts.sockets() == {"redis": 0}
    assert parts.reason("redis") == "Unsupported"


def test_place_that_the_agent_finds_too_small_is_planned_anew(parts: Parts):
    """Requests say nothing of what a running pod really uses."""
    status = two_sockets()
    usage = [
        {"id": 0, "memoryAvailableBytes": 1 << 30},
        {"id": 1, "memoryAvailableBytes": 3 << 30},
    ]
    parts.pod("redis")
    parts.settle()
    assert parts.sockets() == {"redis": 0}
    parts.node(status=status | {"usage": {"nodes": usage}})
    memory = [{"node": 0, "bytes": 1 << 30}, {"node": 1, "bytes": 1 << 30}]
    problem = {"reason": "NoRoom", "message": "1073741824 bytes lie off NUMA nodes 0"}
    parts.observe("redis", {"phase": "Refused", "problem": problem, "memory": memory})
    parts.settle()
    assert parts.sockets() == {"redis": 1}
    parts.observe("redis", {"phase": "Refused", "problem": problem, "memory": memory})
    parts.settle()
    assert parts.sockets() == {"redis": 1}  # no better place: no to and fro
    assert parts.verdicts() == {"redis": "Unplaceable"}


def test_pin_keeps_its_socket_while_the_numanode_is_away(parts: Parts):
    parts.pod("redis", annotations={"numapin.io/socket": "1"})
    parts.settle()
    parts.tell_gone("numanodes", ("", "numa-0"))
    parts.settle()
    assert parts.sockets() == {"redis": 1}
    parts.node(status=two_sockets(cpus_per_socket=8))
    parts.settle()
    assert parts.cluster.pin("default", "redis")["spec"]["cpus"] == "8-15"


def test_release_holds_over_a_restart_and_ends_with_the_policy(parts: Parts):
    parts.policy("p", verification={"onFailure": "Unpin"})
    parts.pod("redis")
    parts.settle()
    pin = parts.cluster.pin("default", "redis")
    parts.observe("redis", good_report(pin, since=parts.time(), local=10))
    parts.settle(60)
    assert (parts.sockets(), parts.verdicts()) == ({"redis": None}, {"redis": "Ineffective"})
    said = parts.cluster.pin("default", "redis")["status"]["conditions"][0]["message"]
    assert "10.0% of the memory" in said
    parts.cluster.writes.clear()
    again = parts.again()
    assert again.cluster.writes == []
    again.policy("p", verification={"onFailure": "Warn"})
    again.settle()
    assert again.sockets() == {"redis": 1}  # where nine tenths of its memory are


def test_watch_that_lost_events_is_corrected_by_comparison(parts: Parts):
    parts.pod("gone")
    parts.settle()
    parts.cluster.remove("pods", ("default", "gone"))  # and nobody says so
    quiet = parts.cluster.objects_of["numanodes"]["", "numa-0"]
    parts.cluster.put("numanodes", quiet | {"status": two_sockets(cpus_per_socket=6)})
    parts.pod("later")
    asyncio.run(parts.informer.compare())
    parts.settle()
    assert parts.sockets() == {"later": 0}
    assert parts.cluster.pin("default", "later")["spec"]["cpus"] == "0-5"
    assert parts.slept == [5.0]
    missed = "numapin_operator_missed_events_total"
    assert parts.registry.get_sample_value(missed, {"kind": "pods"}) == 1
    assert parts.registry.get_sample_value(missed, {"kind": "numanodes"}) == 1
    assert parts.informer.stale == ()


def test_watches_are_awaited_of_kinds_that_have_objects():
    parts = Parts()
    parts.cluster.put("namespaces", {"metadata": {"name": "default"}})
    asyncio.run(parts.informer.sync())
    assert parts.informer.unheard == ("namespaces",)
    parts.tell("namespaces", {"metadata": {"name": "default"}})
    assert parts.informer.unheard == ()


def test_watches_of_kinds_whose_last_object_went_are_not_awaited():
    parts = Parts()
    parts.cluster.put("numanodes", {"apiVersion": API_VERSION, "kind": "NumaNode"} | NAMED)
    asyncio.run(parts.informer.sync())
    assert parts.informer.unheard == ("numanodes",)
    parts.cluster.remove("numanodes", ("", "n"))
    asyncio.run(parts.informer.compare())
    assert parts.informer.unheard == ()


def test_watch_that_stays_behind_is_called_dead(parts: Parts):
    for _ in range(3):
        assert parts.informer.stale == ()
        quiet = parts.cluster.objects_of["numanodes"]["", "numa-0"]
        parts.cluster.put("numanodes", dict(quiet))
        asyncio.run(parts.informer.compare())
    assert parts.informer.stale == ("numanodes",)
    asyncio.run(parts.informer.compare())
    assert parts.informer.stale == ()


def test_object_that_cannot_be_read_is_skipped_and_counted(parts: Parts):
    parts.informer.heard(
        "numapins", {"type": "ADDED", "object": {"metadata": {"name": "x", "namespace": "y"}}}
    )
    parts.pod("fine")
    parts.settle()
    assert parts.sockets() == {"fine": 0}
    assert errors(parts, "read") == 1
