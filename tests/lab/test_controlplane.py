from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab import ports
from numapin_lab.controlplane import ControlPlane


def test_unknown_component() -> None:
    with pytest.raises(LabError, match=r"\['kubelet'\] are unknown; allowed are \['etcd'"):
        ControlPlane(Path("/none"), components=["etcd", "kubelet"])


def test_ports_differ_and_are_free() -> None:
    chosen = ports.choose(("a", "b", "c"))
    assert list(chosen) == ["a", "b", "c"]
    assert len(set(chosen.values())) == 3
    assert all(ports.is_free(port) for port in chosen.values())


@pytest.mark.integration
def test_objects_outlive_a_restart(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as plane:
        url = plane.url
        plane.restart("kube-apiserver")
        assert plane.running("kube-apiserver")
        assert plane.url == url
    assert not plane.running("etcd")
    assert not plane.running("kube-apiserver")


@pytest.mark.integration
def test_a_component_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path, apiserver_args=["--no-such-flag"])
    try:
        with pytest.raises(LabError, match=r"(?s)kube-apiserver ended.*no-such-flag"):
            plane.start()
    finally:
        plane.stop()
