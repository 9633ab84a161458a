"""The operator's life: stopped, killed, restarted, and cut off from the API server."""

import contextlib
import signal
import subprocess
import time
from typing import Any

import pytest
from support.operator_objects import ago, good_report, pod
from support.operator_world import World
from support.resources import Resources
from support.wait import until

from numapin_api.names import PIN_LABEL
from numapin_operator.reconcile import FIRST_STATUS_SECONDS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

Json = dict[str, Any]


def quiet(world: World) -> int:
    """The number of the operator's requests, once it has stopped writing.

    A new pin's first status may be held back for so long as ``FIRST_STATUS_SECONDS``.
    """
    seen, since = -1, time.monotonic()

    def settled() -> bool:
        nonlocal seen, since
        if (now := len(world.writes())) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > FIRST_STATUS_SECONDS + 2

    until(settled, what="the operator to have nothing to write", seconds=60)
    return len(world.audit())


def test_restart_with_everything_in_place_writes_nothing(world: World, namespace: str, node: str):
    head = {"apiVersion": "numapin.io/v1alpha1", "kind": "NumaPolicy"}
    world.policies.create(head | {"metadata": {"name": "all"}})
    with world.operator():
        for number in range(6):
            world.pods(namespace).create(pod(f"p{number}", node=node, cpu="700m"))
        world.pods(namespace).create(pod("bad", node=node, annotations={"numapin.io/mode": "x"}))
        world.pods(namespace).create(pod("lost", node="no-agent-here"))
        world.judged(namespace, "bad", "Invalid")
        until(
            lambda: (
                [p.get("status", {}).get("verdict") for p in world.pins(namespace).list()].count(
                    "Unplaceable"
                )
                == 2
            ),
            what="two pods to find no room",
        )
        lucky = next(p for p in world.pins(namespace).list() if p["spec"].get("socket") == 1)
        name = lucky["metadata"]["name"]
        world.report_pin(namespace, name, good_report(lucky, since=ago(60)))
        world.judged(namespace, name, "Verified")
        until(
            lambda: world.policies.get("all").get("status", {}).get("verified") == 1,
            what="the policy's counts",
        )
        before = quiet(world)
    with world.operator():
        quiet(world)
    assert world.writes(before) == []


def test_killed_operator_catches_up_with_what_it_missed(world: World, namespace: str, node: str):
    pods = world.pods(namespace)
    with world.operator() as first:
        for name in ("stays", "unlabelled", "deleted", "replaced"):
            pods.create(pod(name, node=node))
            world.placed(namespace, name)
        kept = world.pins(namespace).get("stays")["metadata"]["uid"]
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    pods.merge("unlabelled", {"metadata": {"labels": {PIN_LABEL: None}}})
    world.delete(pods, "deleted")
    world.delete(pods, "replaced")
    again = pods.create(pod("replaced", node=node))["metadata"]["uid"]
    pods.create(pod("new", node=node))
    with world.operator():
        for name in ("unlabelled", "deleted"):
            world.gone(namespace, name)
        world.placed(namespace, "new")
        until(
            lambda: (
                (world.find(world.pins(namespace), "replaced") or {}).get("spec", {}).get("podUID")
                == again
            ),
            what="a pin of the second pod of that name",
        )
        assert world.pins(namespace).get("stays")["metadata"]["uid"] == kept


def test_capacity_holds_over_a_restart(world: World, namespace: str, node: str):
    with world.operator():
        world.pods(namespace).create(pod("a", node=node, cpu="1500m"))
        assert world.placed(namespace, "a")["spec"]["socket"] == 0
    world.pods(namespace).create(pod("b", node=node, cpu="1500m"))
    world.pods(namespace).create(pod("c", node=node, cpu="1500m"))
    with world.operator():
        world.judged(namespace, "a", "Pending")
        for name in ("b", "c"):
            world.pinned(namespace, name)
        sockets = [
            world.pins(namespace).get(name)["spec"].get("socket") for name in ("a", "b", "c")
        ]
        assert sockets[0] == 0
        assert sorted(map(str, sockets[1:])) == ["1", "None"]


def test_api_server_that_restarts_is_waited_for(world: World, namespace: str, node: str):
    with world.operator() as running:
        world.pods(namespace).create(pod("before", node=node))
        world.placed(namespace, "before")
        world.plane.restart("kube-apiserver")
        world.pods(namespace).create(pod("after", node=node))
        until(
            lambda: world.find(world.pins(namespace), "after"),
            what="a pin after the restart",
            seconds=60,
        )
        world.pods(namespace).merge("before", {"metadata": {"labels": {PIN_LABEL: None}}})
        until(
            lambda: world.find(world.pins(namespace), "before") is None,
            what="the watch to go on after the restart",
            seconds=60,
        )
        assert running.healthy()


def test_operator_that_starts_before_the_api_server_waits(world: World, namespace: str, node: str):
    world.pods(namespace).create(pod("redis", node=node))
    world.plane.stop()
    with contextlib.ExitStack() as running:
        try:
            early = running.enter_context(world.operator(wait=False))
            until(
                lambda: "failed temporarily: GET /api/v1/namespaces" in early.log.read_text(),
                what="the operator to find the API server away",
                seconds=20,
            )
        finally:
            world.plane.start()
        until(early.healthy, what="the operator to be healthy", seconds=30)
        world.placed(namespace, "redis")


def test_operator_runs_under_a_uid_that_has_no_name(world: World, namespace: str, node: str):
    """As in the container; the name of the user is not there to be asked for."""
    under = ["unshare", "--user", "--map-user=65532", "--map-group=65532"]
    tried = subprocess.run([*under, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no user namespaces here: {tried.stderr.strip()}")
    world.pods(namespace).create(pod("redis", node=node))
    with world.operator(under=under):
        world.placed(namespace, "redis")


def test_operator_stops_within_five_seconds_and_leaves_pins(
    world: World, namespace: str, node: str
):
    with world.operator() as running:
        world.pods(namespace).create(pod("redis", node=node))
        pin = world.placed(namespace, "redis")
        assert running.stop(signal.SIGTERM) == 0
    assert world.pins(namespace).get("redis")["spec"] == pin["spec"]


def test_watch_that_missed_a_deletion_is_corrected_by_comparison(
    world: World, namespace: str, node: str
):
    """An orphan that nobody tells of: the pin of a pod that never was."""
    stray: Json = {
        "apiVersion": "numapin.io/v1alpha1",
        "kind": "NumaPin",
        "metadata": {"name": "stray", "namespace": namespace},
        "spec": {"podUID": "0", "nodeName": node, "policy": "(default)"},
    }
    Resources(world.kube, "numapins", namespace).create(stray)
    with world.operator("--resync=1") as running:
        world.gone(namespace, "stray")
        until(
            lambda: len([e for e in world.audit() if e["verb"] == "list"]) > 25,
            what="several comparisons",
        )
        missed = "numapin_operator_missed_events_total"
        assert running.metric(missed, kind="pods") == 0
        assert running.metric("numapin_operator_errors_total", where="compare") == 0


def test_pods_were_never_written_and_rights_never_lacking(world: World):
    """With the chart's rights; the audit log holds the requests of all tests so far."""
    with world.operator():
        quiet(world)
    outcomes: dict[tuple[str, str], set[bool]] = {}
    for e in world.audit():
        what = e.get("objectRef", {}).get("resource", "")
        sub = e.get("objectRef", {}).get("subresource", "")
        right = (e["verb"], f"{what}/{sub}".rstrip("/"))
        refused = e["responseStatus"]["code"] in {401, 403}
        outcomes.setdefault(right, set()).add(refused)
    assert {verb for verb, what in outcomes if what.startswith("pods")} == {"list", "watch"}
    # An API server that has just started refuses what it allows a second later.
    assert [right for right, seen in outcomes.items() if seen == {True}] == []
