"""Gives the operator's integration tests an API server of their own, with an audit log.

Their own because they restart it, and because a second operator would fight the first.
"""

import itertools
from collections.abc import Iterator

import pytest
from support.operator_world import Operator, World

_NODES = itertools.count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A control plane with the CRDs, and ways to play user and agent in it."""
    with World(tmp_path_factory.mktemp("operator-world")) as running:
        yield running


@pytest.fixture(scope="module")
def operator(world: World) -> Iterator[Operator]:
    """An operator that runs during all tests of a module."""
    with world.operator() as running:
        yield running


@pytest.fixture
def namespace(world: World) -> Iterator[str]:
    """A namespace of the test's own; what the test leaves in it is deleted, and policies."""
    name = world.namespace()
    yield name
    for among in (world.pods(name), world.pins(name), world.policies):
        for found in among.list():
            world.delete(among, found["metadata"]["name"])


@pytest.fixture
def node(world: World) -> Iterator[str]:
    """A node of two sockets with two CPUs and 3 GiB each, whose agent has reported."""
    name = f"node-{next(_NODES)}"
    world.report_node(name)
    yield name
    world.forget_node(name)
