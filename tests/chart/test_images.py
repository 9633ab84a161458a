"""Dockerfiles, chart and project agree on programs, users, ports and versions."""

import re
import tomllib

import pytest
import yaml
from support.chart import CHART, Helm, one, render

ROOT = CHART.parents[1]
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
    assert said(part, "ARG") == [f"VERSION={PROJECT['version']}"]


@pytest.mark.parametrize("part", PARTS)
def test_nothing_comes_from_an_index(part):
    installs = re.findall(r"bin/pip[^&\n]* install [^&\n]*", dockerfile(part).replace("\\\n", " "))
    assert len(installs) == 2
    assert all("--no-index" in install for install in installs)
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]


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
    staged = {"requirements.lock", "wheels/dependencies", "wheels/numapin"}
    for part in PARTS:
        copied = {line.split()[0] for line in said(part, "COPY") if "--from" not in line}
        assert copied == staged
