"""Dockerfiles, chart and project agree on programs, users, ports and versions."""

import re
import tomllib

import pytest
import yaml
from support.chart import CHART, Helm, one, render

ROOT = CHART.parents[1]
SCRIPT = ROOT / "lab" / "image" / "venv.sh"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PARTS = ("operator", "agent")


def dockerfile(part: str) -> str:
    return (ROOT / part / "Dockerfile").read_text()


def said(part: str, instruction: str) -> list[str]:
    """Arguments of an instruction, in order."""
    return re.findall(rf"^{instruction} (.*)$", dockerfile(part), re.MULTILINE)


@pytest.mark.parametrize("part", PARTS)
def test_image_is_debians_and_starts_our_program(part):
    assert {line.split()[0] for line in said(part, "FROM")} == {"debian:trixie-slim"}
    (program,) = yaml.safe_load(said(part, "ENTRYPOINT")[0])
    assert program in PROJECT["scripts"]


@pytest.mark.parametrize("part", PARTS)
def test_image_is_of_the_projects_version(part):
    assert f"VERSION={PROJECT['version']}" in said(part, "ARG")


@pytest.mark.parametrize("part", PARTS)
def test_labels_are_those_of_oci(part):
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', dockerfile(part)))
    assert labels.pop("description")
    assert labels == {
        "title": f"numapin-{part}",
        "version": "${VERSION}",
        "revision": "${REVISION}",
        "source": "${SOURCE}",
        "licenses": PROJECT["license"],
    }


@pytest.mark.parametrize("part", PARTS)
def test_image_is_of_no_one_architecture(part):
    text = dockerfile(part) + SCRIPT.read_text()
    assert [word for word in ("x86", "amd64", "aarch64", "arm64") if word in text] == []
    assert "--platform" not in text


def test_nothing_comes_from_an_index():
    installs = re.findall(r"^\s*install (.*)$", SCRIPT.read_text(), re.MULTILINE)
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    assert SCRIPT.read_text().count("/bin/pip") == SCRIPT.read_text().count("--no-index") == 1
    assert [run for part in PARTS for run in said(part, "RUN") if "pip" in run] == []


def test_build_stages_differ_in_the_options_of_the_environment_only():
    stages = [set(dockerfile(part).split("\nFROM ")[1].splitlines()) for part in PARTS]
    different = {line.partition(" --")[0] for line in stages[0] ^ stages[1]}
    assert {line for line in different if not line.startswith("#")} == {"RUN sh venv.sh create"}


@pytest.mark.integration
def test_users_and_ports_are_those_of_the_chart(helm: Helm):
    objects = render(helm)
    for part, kind in (("operator", "Deployment"), ("agent", "DaemonSet")):
        pod = one(objects, kind)["spec"]["template"]["spec"]
        user = pod["securityContext"]["runAsUser"]
        assert said(part, "USER") == [f"{user}:{user}"]
        ports = [str(p["containerPort"]) for p in pod["containers"][0]["ports"]]
        assert said(part, "EXPOSE")[0].split() == ports


def test_copied_files_are_staged():
    # What lab/numapin_lab/wheels.py puts into a build context.
    staged = {"requirements.lock", "venv.sh", "wheels/dependencies", "wheels/numapin"}
    for part in PARTS:
        copied = {line.split()[0] for line in said(part, "COPY") if "--from" not in line}
        assert copied == staged
