"""Which versions of Kubernetes are pinned, and that each pin is whole."""

import re

import pytest

from numapin_api.errors import LabError
from numapin_lab import binaries


@pytest.mark.parametrize(("minor", "release"), binaries.VERSIONS.items())
def test_a_version_is_pinned_as_a_whole(minor, release):
    assert release.startswith(f"v{minor}.")
    text = (binaries.module_of(minor) / "go.mod").read_text()
    assert re.findall(r"^\s*k8s\.io/kubernetes (\S+)", text, re.MULTILINE) == [release]
    # Kubernetes' own parts, which its go.mod takes from its source tree.
    staged = re.findall(r"=> k8s\.io/\S+ (\S+)", text)
    assert len(staged) > 20
    assert set(staged) == {release.replace("v1.", "v0.", 1)}


@pytest.mark.parametrize("minor", binaries.VERSIONS)
def test_what_is_built_is_checked_by_hash(minor):
    module = binaries.module_of(minor)
    sums = (module / "go.sum").read_text()
    text = (module / "go.mod").read_text()
    etcd = re.search(r"^\s*(go\.etcd\.io/etcd/server/v3 \S+)", text, re.MULTILINE)
    assert etcd is not None
    assert f"{etcd[1]} h1:" in sums
    assert f"k8s.io/kubernetes {binaries.VERSIONS[minor]} h1:" in sums


def test_unknown_version_is_refused_with_those_there_are():
    with pytest.raises(LabError, match=r"'1\.12' is not pinned here; allowed are 1\.33, .*1\.37"):
        binaries.ensure_servers(kubernetes="1.12")


def test_a_version_says_which_it_is():
    assert binaries.version_flags("1.36") == (
        "-X k8s.io/component-base/version.gitVersion=v1.36.3 "
        "-X k8s.io/component-base/version.gitMajor=1 "
        "-X k8s.io/component-base/version.gitMinor=36"
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.25rc1 linux/arm64", (1, 25)),
    ],
)
def test_go_version(text, version):
    assert binaries.go_version(text) == version


def test_go_version_of_something_else():
    with pytest.raises(LabError, match="no version is in it"):
        binaries.go_version("gccgo")
