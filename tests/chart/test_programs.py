"""Each program's own way of talking to the API server, under the rights that the chart gives."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lightkube import Client
from support.install import Installed
from support.objects import example
from support.resources import Resources

from numapin_agent import kube as agent_kube
from numapin_api.errors import ApiError
from numapin_api.node import NumaNodeStatus
from numapin_api.pin import NumaPin, Observed
from numapin_operator import kube as operator_kube
from numapin_operator.kube import Json
from numapin_operator.pods import Key
from numapin_operator.writer import ApiWriter, Pace

pytestmark = pytest.mark.integration

PIN = {**example("NumaPin"), "metadata": {"name": "db", "namespace": "default"}}
STATUS = PIN.pop("status")


@pytest.fixture(scope="module")
def pin(installed: Installed) -> NumaPin:
    return NumaPin.read(Resources(installed.admin, "numapins", "default").create(PIN))


@pytest.fixture
def operator(installed: Installed) -> Iterator[operator_kube.KubeCluster]:
    with installed.account("operator", node="numa-1") as client:
        yield operator_kube.KubeCluster(client)


@pytest.fixture
def writer(operator: operator_kube.KubeCluster) -> ApiWriter:
    async def send(method: str, path: str, body: Json, content: str) -> Json:
        return operator.call(method, path, body=body, content=content)

    return ApiWriter(send, Pace(1000))


def connect(installed: Installed, directory: Path, node: str) -> Client:
    return agent_kube.connect(installed.kubeconfig("agent", directory / node, node=node))


@pytest.fixture
def agent(installed: Installed, tmp_path: Path) -> Iterator[Client]:
    with connect(installed, tmp_path, "numa-0") as client:
        yield client


@pytest.fixture
def agent_elsewhere(installed: Installed, tmp_path: Path) -> Iterator[Client]:
    with connect(installed, tmp_path, "numa-1") as client:
        yield client


def test_agent_reads_and_watches_its_node(installed: Installed, pin: NumaPin, agent: Client):
    for source in (agent_kube.pins_of(agent, "numa-0"), agent_kube.pods_of(agent, "numa-0")):
        version, objects = source.list()
        assert list(objects)
        watch = source.watch(version)
        touched = {"metadata": {"annotations": {"touched": version}}}
        there = (
            Resources(installed.admin, "numapins", "default")
            if source.kind is agent_kube.PinResource
            else Resources(installed.admin, "pods", "numapin-system", base="/api/v1")
        )
        name = "db" if there.plural == "numapins" else "agent-numa-0"
        there.merge(name, touched)
        change, _, obj = next(watch)
        assert (change, obj.metadata.name) == ("MODIFIED", name)


def test_agent_writes_its_node_and_its_pins(installed: Installed, pin: NumaPin, agent: Client):
    api = agent_kube.Api(agent, "numa-0")
    wanted = NumaNodeStatus.model_validate(example("NumaNode")["status"])
    api.apply_numa_node(wanted)
    found = api.numa_node()
    assert found is not None
    assert found.status == wanted
    api.apply_observed(pin, Observed.model_validate(STATUS["observed"]))
    there = Resources(installed.admin, "numapins", "default").get("db")
    assert there["status"]["observed"].keys() == {*STATUS["observed"], "time"}
    assert {**there["status"]["observed"], **STATUS["observed"]} == there["status"]["observed"]


def test_an_agent_that_has_nothing_new_to_say_is_heard_all_the_same(
    installed: Installed, pin: NumaPin, agent: Client
):
    """A write that changes nothing is none to the API server, and nobody is told of it."""
    begun = datetime(2026, 11, 25, 12, tzinfo=UTC)
    times = iter((begun, begun + timedelta(minutes=15)))
    api = agent_kube.Api(agent, "numa-0", now=lambda: next(times))
    said, versions = Observed.model_validate(STATUS["observed"]), []
    for _ in range(2):
        api.apply_observed(pin, said)
        there = Resources(installed.admin, "numapins", "default").get("db")
        versions.append(there["metadata"]["resourceVersion"])
    assert versions[0] != versions[1]
    assert there["status"]["observed"]["time"] == "2026-11-25T12:15:00Z"


def test_agent_of_another_node_is_told_why_not(pin: NumaPin, agent_elsewhere: Client):
    api = agent_kube.Api(agent_elsewhere, "numa-1")
    with pytest.raises(ApiError, match='on node "numa-1" may not write'):
        api.apply_observed(pin, Observed.model_validate(STATUS["observed"]))


def test_operator_lists_all_it_plans_from(pin: NumaPin, operator: operator_kube.KubeCluster):
    for kind in operator_kube.PATHS:
        assert sum(map(len, operator.pages(kind))) == sum(map(len, operator.versions(kind)))
    assert [o["metadata"]["name"] for page in operator.pages("numapins") for o in page] == ["db"]


def test_operator_makes_judges_and_deletes_pins(installed: Installed, writer: ApiWriter):
    meta = {"name": "web", "namespace": "default"}
    made = asyncio.run(writer.apply_pin({**PIN, "metadata": meta}))
    head = {k: v for k, v in made.items() if k in ("apiVersion", "kind")}
    status = {"verdict": "Pending"}
    asyncio.run(writer.apply_pin_status({**head, "metadata": meta, "status": status}))
    pins = Resources(installed.admin, "numapins", "default")
    assert pins.get("web")["status"]["verdict"] == "Pending"
    asyncio.run(writer.delete_pin(Key("default", "web"), made["metadata"]["uid"]))
    assert "web" not in {p["metadata"]["name"] for p in pins.list()}


def test_operator_counts_in_policies(installed: Installed, writer: ApiWriter):
    policies = Resources(installed.admin, "numapolicies")
    made = policies.create(example("NumaPolicy"))
    head = {k: v for k, v in made.items() if k in ("apiVersion", "kind")}
    status = example("NumaPolicy")["status"]
    body = {**head, "metadata": {"name": "databases"}, "status": status}
    asyncio.run(writer.apply_policy_status(body))
    assert policies.get("databases")["status"] == status
