"""numapin top and advise in the lab, whose API server reaches pods by port-forward only."""

import json

import pytest
from click.testing import CliRunner
from support.world import NAMESPACE, World

from numapin_cli.main import cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]


def numapin(world: World, *arguments: str) -> dict:
    """What a command prints as JSON; every node answered."""
    config = str(world.lab.paths.kubeconfig)
    run = CliRunner().invoke(cli, ["--kubeconfig", config, *arguments, "-o", "json"])
    assert run.exit_code == 0, run.output
    found: dict = json.loads(run.stdout)
    assert found["problems"] == []
    return found


def test_top_shows_each_pod_where_it_is_and_what_it_does(world: World):
    world.await_phase("burstable", "Pinned")
    world.await_phase("elsewhere", "Pinned")
    found = numapin(world, "top", "-n", NAMESPACE, "--once", "-d", "10")
    pods = {p["name"]: p for p in found["pods"]}
    assert (pods["elsewhere"]["node"], pods["elsewhere"]["pinned"]) == ("numa-1", True)
    busy = pods["burstable"]
    assert (busy["node"], busy["pinned"]) == ("numa-0", True)
    assert busy["cpuPercent"] > 0
    assert busy["threads"] > 1
    # Pinned: what there is of its memory lies on its socket, and nothing leaves it.
    assert busy["crossSocketPagesPerSecond"] < 10
    only = numapin(world, "top", "--node", "numa-1", "--once", "-d", "5")
    assert {p["node"] for p in only["pods"]} == {"numa-1"}


def test_advise_is_asked_about_pods_without_the_label_only(world: World):
    found = numapin(world, "advise", "--node", "numa-0", "--window", "20s")
    asked = {(p["namespace"], p["name"]) for p in found["pods"]}
    assert (NAMESPACE, "burstable") not in asked
    assert found["labelled"] >= 5
    assert any(namespace != NAMESPACE for namespace, _ in asked)
    assert all(p["evidence"] for p in found["pods"] if p["advice"] == "Pin")
