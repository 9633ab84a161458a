"""``helm upgrade`` from a chart whose CRDs were others: every object is there afterwards."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, ApiException
from support.apiserver import client
from support.chart import CHART, NAMESPACE, Helm
from support.objects import example
from support.resources import Resources
from support.wait import until

from numapin_lab.controlplane import ControlPlane

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

POLICY = example("NumaPolicy")
PIN = {**example("NumaPin"), "metadata": {"name": "db", "namespace": "default"}}
STATUS = PIN.pop("status")
NEW_FIELD = "memoryHeadroom"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as it might have been: policies had no memoryHeadroom, pins one column less."""
    copied = tmp_path_factory.mktemp("older") / "numapin"
    shutil.copytree(CHART, copied)
    crds = copied / "files/crds"
    policies, pins = crds / "numapolicies.numapin.io.yaml", crds / "numapins.numapin.io.yaml"
    crd = yaml.safe_load(policies.read_text())
    del _spec(crd)[NEW_FIELD]
    policies.write_text(yaml.safe_dump(crd))
    crd = yaml.safe_load(pins.read_text())
    del crd["spec"]["versions"][0]["additionalPrinterColumns"][-1]
    pins.write_text(yaml.safe_dump(crd))
    chart = yaml.safe_load((copied / "Chart.yaml").read_text())
    (copied / "Chart.yaml").write_text(yaml.safe_dump(chart | {"version": "0.0.1"}))
    return copied


def _spec(crd: dict[str, Any]) -> dict[str, Any]:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return found


@pytest.fixture
def apiserver(tmp_path: Path) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path) as running:
        yield running


@pytest.fixture
def admin(apiserver: ControlPlane) -> Iterator[ApiClient]:
    with client(apiserver, token=apiserver.token) as found:
        yield found


def run(helm: Helm, apiserver: ControlPlane, *args: object) -> None:
    done = helm(f"--kubeconfig={apiserver.kubeconfig}", f"--namespace={NAMESPACE}", *args)
    assert done.returncode == 0, done.stderr


def fill(admin: ApiClient) -> list[dict[str, Any]]:
    """Have objects of an older version: they know nothing of the new field."""
    policies, pins = Resources(admin, "numapolicies"), Resources(admin, "numapins", "default")

    def take() -> dict[str, Any] | None:
        try:
            return policies.create(POLICY)
        except ApiException as error:
            # A new CRD takes a moment to be served.
            if error.status != 404:
                raise
            return None

    until(take, what="the policies to be served", seconds=30)
    until(lambda: _made(pins), what="the pins to be served", seconds=30)
    pins.merge("db", {"status": STATUS}, status=True)
    return everything(admin)


def _made(pins: Resources) -> bool:
    try:
        pins.create(PIN)
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True


def everything(admin: ApiClient) -> list[dict[str, Any]]:
    """All objects of ours, without what serving them anew changes."""
    found = Resources(admin, "numapolicies").list() + Resources(admin, "numapins").list()
    for obj in found:
        del obj["metadata"]["managedFields"]
        # Defaults of a newer schema are filled in on reading.
        obj["spec"].pop(NEW_FIELD, None)
    return found


def test_changed_crds_are_in_force_and_nothing_is_lost(
    helm: Helm, any_helm: Helm, apiserver: ControlPlane, admin: ApiClient, older: Path
):
    """Installed by helm 3, as most releases are; upgraded by helm 3 or 4."""
    run(helm, apiserver, "install", "numapin", older, "--create-namespace")
    before = fill(admin)
    assert NEW_FIELD not in Resources(admin, "numapolicies").get("databases")["spec"]
    run(any_helm, apiserver, "upgrade", "numapin", CHART)
    policies = Resources(admin, "numapolicies")
    until(
        lambda: policies.get("databases")["spec"].get(NEW_FIELD) == "10%",
        what="the new field's default",
        seconds=30,
    )
    assert everything(admin) == before
    policies.merge("databases", {"spec": {NEW_FIELD: "25%"}})
    assert policies.get("databases")["spec"][NEW_FIELD] == "25%"


def test_handing_the_crds_to_somebody_else_deletes_nothing(
    any_helm: Helm, apiserver: ControlPlane, admin: ApiClient
):
    run(any_helm, apiserver, "install", "numapin", CHART, "--create-namespace")
    before = fill(admin)
    run(any_helm, apiserver, "upgrade", "numapin", CHART, "--set=crds.install=false")
    assert everything(admin) == before
    run(any_helm, apiserver, "upgrade", "numapin", CHART)
    assert everything(admin) == before


def test_values_kept_whole_from_an_older_chart_are_refused_for_what_they_lack(
    any_helm: Helm, apiserver: ControlPlane, older: Path, tmp_path: Path
):
    """Else pods would stay pinned after an uninstall, because the old chart had no onUninstall."""
    before = shutil.copytree(older, tmp_path / "numapin")
    (before / "values.schema.json").unlink()
    values = yaml.safe_load((before / "values.yaml").read_text())
    del values["onUninstall"]
    (before / "values.yaml").write_text(yaml.safe_dump(values))
    run(any_helm, apiserver, "install", "numapin", before, "--create-namespace")
    upgrade = (f"--kubeconfig={apiserver.kubeconfig}", f"--namespace={NAMESPACE}", "upgrade")
    done = any_helm(*upgrade, "numapin", CHART, "--reuse-values")
    assert done.returncode != 0
    assert "missing property 'onUninstall'" in done.stderr
    run(any_helm, apiserver, "upgrade", "numapin", CHART, "--reset-then-reuse-values")
