"""Traces in a real API server are deleted when they are due, with the rights of the chart."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.objects import example
from support.operator_world import World
from support.resources import Resources
from support.wait import until

from numapin_api.errors import ApiError
from numapin_api.trace import NumaTrace
from numapin_operator.kube import KubeCluster, connect
from numapin_operator.traces.sweep import KubeTraces, Sweeper


@pytest.mark.integration
def test_what_is_due_goes_and_the_rest_stays(world: World, namespace: str):
    there = Resources(world.kube, "numatraces", namespace)
    for name, phase in (("done", "Done"), ("runs", "Running"), ("new", None)):
        obj: dict[str, Any] = example("NumaTrace")
        obj["metadata"] = {"name": name, "namespace": namespace}
        del obj["status"]
        there.create(obj)
        if phase:
            status = {"phase": phase, "finishedAt": "2026-11-25T12:00:00Z"}
            there.merge(name, {"status": status}, status=True)
    failures: list[str] = []
    now = datetime.now(UTC)
    traces = KubeTraces(KubeCluster(connect(str(world.kubeconfig))))
    sweeper = Sweeper(traces, now=lambda: now, failed=lambda: failures.append("failed"))
    until(lambda: len(list(traces.all())) == 3, what="the kind to be served")

    def names() -> set[str]:
        return {o["metadata"]["name"] for o in there.list()}

    sweeper.once()
    assert names() == {"runs", "new"}
    now += timedelta(hours=2)
    sweeper.once()
    assert names() == set()
    assert failures == []


@pytest.mark.integration
def test_one_made_anew_under_the_same_name_stays(world: World, namespace: str):
    there = Resources(world.kube, "numatraces", namespace)
    obj = example("NumaTrace")
    obj["metadata"]["namespace"] = namespace
    del obj["status"]
    made = NumaTrace.read(there.create(obj))
    other = made.model_copy(update={"metadata": made.metadata.model_copy(update={"uid": "else"})})
    traces = KubeTraces(KubeCluster(connect(str(world.kubeconfig))))
    traces.delete(other)
    assert len(there.list()) == 1
    traces.delete(made)
    traces.delete(made)
    assert there.list() == []


class Broken:
    """An API server that answers nothing."""

    def all(self):
        raise ApiError("no answer")

    def delete(self, trace: NumaTrace) -> None:
        raise ApiError("no answer")


def test_a_failure_is_counted_and_the_next_look_comes():
    failures: list[int] = []
    sweeper = Sweeper(Broken(), now=lambda: datetime.now(UTC), failed=lambda: failures.append(1))
    sweeper.once()
    sweeper.once()
    assert failures == [1, 1]
