"""The agent and its API server, for tests of the whole process."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, CoreV1Api
from support.agent_process import AgentProcess, FakeNode
from support.agent_world import World

from numapin_lab import ports
from numapin_lab.controlplane import ControlPlane

_NUMBERS = itertools.count(1)


@pytest.fixture
def world(
    kube: ApiClient, apiserver: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[World]:
    """A node named anew for each test, its agent not started yet."""
    name = f"numa-{next(_NUMBERS)}"
    core = CoreV1Api(kube)
    core.create_node({"metadata": {"name": name}})
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    node = FakeNode.make(tmp_path)
    port = ports.choose(("agent",))["agent"]
    agent = AgentProcess(node, name, apiserver.kubeconfig, port)
    yield World(kube, namespace, node, agent)
    agent.end()


@pytest.fixture
def running(world: World) -> World:
    """The same with its agent ready."""
    world.agent.start()
    world.agent.await_ready()
    return world
