"""Fixtures that give tests a real etcd and kube-apiserver, and the CRDs in it.

One API server serves the whole test run, because it takes seconds to start; each test gets
a namespace of its own. No controllers run in it: nothing collects garbage, binds pods or
makes tokens, so what a test sees is what it wrote.
"""

import itertools
from collections.abc import Iterator

import pytest
from kubernetes.client import (
    ApiClient,
    ApiextensionsV1Api,
    Configuration,
    CoreV1Api,
    CustomObjectsApi,
    V1Namespace,
    V1ObjectMeta,
)
from support.wait import until

from numapin_api import crd, names
from numapin_lab import binaries
from numapin_lab.controlplane import ControlPlane
from numapin_lab.steps import Steps

_NUMBERS = itertools.count(1)


def client(apiserver: ControlPlane, *, token: str) -> ApiClient:
    """An API client that shows this bearer token."""
    configuration = Configuration(host=apiserver.url)
    configuration.ssl_ca_cert = str(apiserver.ca)
    configuration.api_key = {"authorization": token}
    configuration.api_key_prefix = {"authorization": "Bearer"}
    return ApiClient(configuration)


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running etcd and kube-apiserver, ended with the test run."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def kube(apiserver: ControlPlane) -> Iterator[ApiClient]:
    """The administrator's client of the official package."""
    with client(apiserver, token=apiserver.token) as admin:
        yield admin


@pytest.fixture(scope="session")
def crds(kube: ApiClient) -> tuple[str, ...]:
    """Names of the CustomResourceDefinitions, installed and established."""
    api = ApiextensionsV1Api(kube)
    for kind in crd.KINDS:
        api.create_custom_resource_definition(crd.crd(kind))

    def established() -> bool:
        return all(
            any(
                c.type == "Established" and c.status == "True"
                for c in api.read_custom_resource_definition(kind.name).status.conditions or ()
            )
            for kind in crd.KINDS
        )

    until(established, what="the CRDs to be established")
    return tuple(kind.name for kind in crd.KINDS)


@pytest.fixture
def namespace(kube: ApiClient, crds: tuple[str, ...]) -> Iterator[str]:
    """A namespace of the test's own; afterwards all that the test can have left is deleted.

    The namespace itself stays: nothing would ever finish its deletion.
    """
    name = f"test-{next(_NUMBERS)}"
    core, custom = CoreV1Api(kube), CustomObjectsApi(kube)
    core.create_namespace(V1Namespace(metadata=V1ObjectMeta(name=name)))
    yield name
    core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
    core.delete_collection_node()
    for kind in crd.KINDS:
        if kind.namespaced:
            custom.delete_collection_namespaced_custom_object(
                names.GROUP, names.VERSION, name, kind.model.PLURAL
            )
        else:
            custom.delete_collection_cluster_custom_object(
                names.GROUP, names.VERSION, kind.model.PLURAL
            )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test, whose time limit they would exceed."""
    wanted = any(item.get_closest_marker("integration") for item in session.items)
    if wanted and not session.config.option.collectonly:
        binaries.ensure(Steps())
        binaries.ensure_servers(Steps())
