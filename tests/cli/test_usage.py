"""Flags and environment: where they may stand, and what is said of wrong ones."""

import pytest
import yaml

NO_SERVER = "http://127.0.0.1:1"


def kubeconfig(**change):
    """A kubeconfig of a server that nobody listens at."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")
        ],
        "clusters": [{"name": "c", "cluster": {"server": NO_SERVER}}],
        "users": [{"name": "u", "user": {}}],
    }
    return yaml.safe_dump(config | change)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A kubeconfig with two contexts, and no other to be found."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "config"
    path.write_text(kubeconfig())
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--kubeconfig", "FILE", "--context", "two"),
        ("--kubeconfig", "FILE", "--context", "two", "status"),
        ("--kubeconfig", "FILE", "status", "--context", "two"),
        ("--context", "two", "status", "--kubeconfig", "FILE"),
        ("--kubeconfig", "/other", "status", "--kubeconfig", "FILE", "--context=two"),
        ("--context=one", "nodes", "--kubeconfig", "FILE", "--context=two"),
    ],
)
def test_the_cluster_may_be_named_before_the_command_and_after(numapin, file, arguments):
    run = numapin(*(file if a == "FILE" else a for a in arguments))
    assert (run.status, run.out) == (1, "")
    assert f"can't reach the API server {NO_SERVER} (kubeconfig {file}, context two)" in run.err


@pytest.mark.parametrize("option", ["--kubeconfig", "--context"])
def test_a_command_that_asks_no_cluster_takes_no_name_of_one(numapin, file, option):
    run = numapin(option, file, "topology")
    assert (run.status, run.out) == (2, "")
    assert f"{option} {file}: topology asks no cluster; leave it out" in run.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("statu",), "No such command 'statu'"),
        (("status", "--no-such"), "No such option '--no-such'"),
        (("--no-such", "status"), "No such option '--no-such'"),
        (("status", "-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml'"),
        (("status", "-A", "-n", "x"), "-A goes with neither a pod nor -n"),
        (("explain",), "Missing argument 'POD'"),
        (("topology", "--root", "/no/such"), "'/no/such' does not exist"),
        (("--kubeconfig", "/", "status"), "'/' is a directory"),
        (("status", "--kubeconfig", "/"), "'/' is a directory"),
    ],
)
def test_wrong_flags_are_named_with_what_is_allowed(numapin, arguments, said):
    run = numapin(*arguments)
    assert (run.status, run.out) == (2, "")
    assert said in " ".join(run.err.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file is empty"),
        ("- x", "it is no kubeconfig"),
        ("text", "it is no kubeconfig"),
        ("a: [", "while parsing"),
        ("\x00", "special characters are not allowed"),
        ("apiVersion: v1", "Expected key current-context"),
        (kubeconfig(contexts=3), "it is no kubeconfig"),
        (kubeconfig(contexts=[]), "Expected object with name one"),
        (kubeconfig(clusters=[]), "Expected object with name c"),
        (kubeconfig(**{"current-context": "three"}), "Expected object with name three"),
    ],
)
@pytest.mark.parametrize("door", ["flag", "environment"])
def test_a_bad_kubeconfig_is_named(numapin, file, monkeypatch, *, door, text, said):
    file.write_text(text)
    if door == "environment":
        monkeypatch.setenv("KUBECONFIG", str(file))
    run = numapin("status", *(("--kubeconfig", file) if door == "flag" else ()))
    assert (run.status, run.out) == (1, "")
    assert run.err.startswith(f"numapin: kubeconfig {file} can't be used: ")
    assert said in run.err


def test_a_kubeconfig_that_is_not_there_is_named_with_what_was_tried(numapin, file, monkeypatch):
    for arguments, environment, tried in (
        (("--kubeconfig", "/no/flag"), None, "/no/flag"),
        ((), "/no/env:/nor/this", "/no/env or /nor/this"),
        ((), None, "home/.kube/config"),
    ):
        if environment:
            monkeypatch.setenv("KUBECONFIG", environment)
        else:
            monkeypatch.delenv("KUBECONFIG", raising=False)
        run = numapin("status", *arguments)
        assert (run.status, run.out) == (1, "")
        assert "no cluster is configured: there is no file" in run.err
        assert tried in run.err
        assert "--kubeconfig or $KUBECONFIG" in run.err


def test_the_doctor_looks_at_the_machine_only_where_no_cluster_is_meant(
    numapin, file, monkeypatch, tmp_path
):
    run = numapin("doctor", "-o", "json")
    assert '"scope": "node"' in run.out
    assert "no cluster is configured: looking at this machine" in run.err
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    run = numapin("doctor", "-o", "json")
    assert run.status == 1
    assert '"scope": "cluster"' in run.out
    assert "there is no file" in run.out
