"""Neighbours: each by its own signs, none by a label alone, and none that flaps."""

import socket
from typing import Any

import msgspec
import pytest
from support.sockets import short_directory

from numapin_agent.neighbours import HOLD_SECONDS, PodSign, Signs, remember, seen
from numapin_agent.pods import PodView
from numapin_agent.signs import pod_signs, registered
from numapin_api.names import STATIC_CPU_MANAGER
from numapin_api.node import Neighbour


def nri(name: str) -> PodSign:
    """As the DaemonSets of nri-plugins' charts have it."""
    return PodSign(
        app=name,
        host_paths=("/var/lib/nri-resource-policy", "/sys", "/var/run/nri-resource-policy"),
    )


BALLOONS, AWARE = (f"nri-resource-policy-{p}" for p in ("balloons", "topology-aware"))
KOORDLET = PodSign(koord_app="koordlet", host_paths=("/etc/localtime", "/sys/fs/cgroup/", "/dev"))


@pytest.mark.parametrize(
    ("signs", "found"),
    [
        (Signs(), {}),
        (Signs(static_cpu_manager=True), {STATIC_CPU_MANAGER: False}),
        (Signs(static_cpu_manager=True, exclusive=True), {STATIC_CPU_MANAGER: True}),
        (Signs(exclusive=True), {STATIC_CPU_MANAGER: True}),
        (Signs(pods=(nri(BALLOONS),)), {BALLOONS: True}),
        (Signs(pods=(nri(AWARE),)), {AWARE: True}),
        (Signs(pods=(PodSign(app=AWARE, host_paths=("/run/nri/",)),)), {AWARE: True}),
        (Signs(pods=(KOORDLET,)), {"koordlet": True}),
        (Signs(registered=("dra.cpu-reg.sock",)), {"dra-driver-cpu": True}),
        (Signs(registered=("dra.cpu-0c2b8caf-58d9-reg.sock",)), {"dra-driver-cpu": True}),
        (Signs(pods=(nri(BALLOONS), KOORDLET)), {BALLOONS: True, "koordlet": True}),
    ],
)
def test_each_neighbour_is_known_by_its_signs(signs: Signs, found: dict[str, bool]) -> None:
    assert {n.name: n.stand_down for n in seen(signs)} == found


@pytest.mark.parametrize(
    "signs",
    [
        Signs(pods=(PodSign(app=BALLOONS),)),
        Signs(pods=(PodSign(app=BALLOONS, host_paths=("/data", "/run/nri-of-mine")),)),
        Signs(pods=(PodSign(koord_app="koordlet", host_paths=("/var/log",)),)),
        Signs(pods=(PodSign(app="koordlet", host_paths=("/sys/fs/cgroup",)),)),
        Signs(pods=(PodSign(app="my-app", host_paths=("/sys", "/var/run/nri")),)),
        Signs(registered=("dra.cpu.example.com-reg.sock", "gpu-reg.sock", "my-dra.cpu-reg.sock")),
    ],
)
def test_others_have_some_of_these_signs_and_are_none(signs: Signs) -> None:
    assert seen(signs) == []


def neighbour(name: str = "a", *, stand_down: bool = True) -> Neighbour:
    return Neighbour(name=name, stand_down=stand_down)


def test_a_neighbour_stays_for_a_while_after_its_last_sign() -> None:
    known = remember({}, [neighbour()], now=0.0)
    known = remember(known, [neighbour()], now=60.0)
    late = 60.0 + HOLD_SECONDS
    assert remember(known, [], now=late - 1) == known
    assert remember(known, [], now=late) == {}


def test_the_worse_of_two_states_stays_for_a_while() -> None:
    known = remember({}, [neighbour()], now=0.0)
    mild = neighbour(stand_down=False)
    assert remember(known, [mild], now=HOLD_SECONDS - 1) == known
    assert remember(known, [mild], now=HOLD_SECONDS) == {"a": (HOLD_SECONDS, mild)}
    assert remember({"a": (0.0, mild)}, [neighbour()], now=1.0) == {"a": (1.0, neighbour())}


def test_neighbours_are_in_the_order_of_their_names() -> None:
    known = remember({}, [neighbour("b"), neighbour("a")], now=0.0)
    assert list(remember(known, [neighbour("c")], now=1.0)) == ["a", "b", "c"]


def view(phase: str, labels: dict[str, str], *paths: str) -> PodView:
    volumes: list[dict[str, Any]] = [{"name": "v", "hostPath": {"path": p}} for p in paths]
    return msgspec.convert(
        {
            "metadata": {"name": "x", "labels": labels},
            "spec": {"volumes": [{"name": "token", "projected": {}}, *volumes]},
            "status": {"phase": phase},
        },
        PodView,
    )


def test_only_pods_that_run_with_directories_of_the_host_are_signs() -> None:
    labels = {"app.kubernetes.io/name": BALLOONS, "koord-app": "koordlet", "other": "x"}
    found = pod_signs(
        [
            view("Running", labels, "/run/nri", "/sys"),
            view("Running", labels),
            view("Succeeded", labels, "/run/nri"),
            view("Pending", labels, "/run/nri"),
        ]
    )
    assert found == (PodSign(BALLOONS, "koordlet", ("/run/nri", "/sys")),)


def test_labels_that_only_neighbours_have_do_not_wake_anybody() -> None:
    plain = view("Running", {})
    assert plain.same(view("Running", {"koord-app": "koordlet"}))
    assert not plain.same(view("Running", {"numapin.io/pin": "true"}))


def test_drivers_count_while_somebody_listens() -> None:
    with short_directory() as registry, socket.socket(socket.AF_UNIX) as driver:
        driver.bind(str(registry / "dra.cpu-reg.sock"))
        assert registered(registry) == frozenset()
        driver.listen()
        (registry / "dra.cpu-0-reg.sock").write_text("no socket")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(registry / "gpu-reg.sock"))
            other.listen()
            assert registered(registry) == {"dra.cpu-reg.sock"}
        assert registered(registry / "absent") == frozenset()
