"""What is generated is structural, and what is committed is what is generated."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from numapin_api import crd

ROOT = Path(__file__).parents[2]
SCHEMAS = {kind.model.__name__: crd.schema(kind) for kind in crd.KINDS}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path or ".", schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


ALL = [(kind, path, node) for kind, s in SCHEMAS.items() for path, node in nodes(s)]


@pytest.mark.parametrize("directory", ["crds", "charts/numapin/files/crds"])
def test_committed_files_are_what_the_models_say(directory):
    assert crd.drift(ROOT / directory) == ()


def test_check_names_stale_and_foreign_files(tmp_path: Path):
    run = CliRunner()
    assert run.invoke(crd.main, ["--write", "--dir", str(tmp_path)]).exit_code == 0
    assert run.invoke(crd.main, ["--check", "--dir", str(tmp_path)]).exit_code == 0
    (tmp_path / "numapins.numapin.io.yaml").write_text("kind: Wrong\n")
    (tmp_path / "other.yaml").touch()
    (tmp_path / "numanodes.numapin.io.yaml").unlink()
    told = run.invoke(crd.main, ["--check", "--dir", str(tmp_path)])
    assert told.exit_code == 1
    for name in ("numapins.numapin.io.yaml", "other.yaml", "numanodes.numapin.io.yaml"):
        assert name in told.output


@pytest.mark.parametrize(
    ("name", "short", "scope"),
    [
        ("numapolicies.numapin.io", "np", "Cluster"),
        ("numanodes.numapin.io", "nn", "Cluster"),
        ("numapins.numapin.io", "npin", "Namespaced"),
        ("numatraces.numapin.io", "nt", "Namespaced"),
    ],
)
def test_names(name, short, scope):
    found = yaml.safe_load((ROOT / "crds" / f"{name}.yaml").read_text())
    assert found["metadata"]["name"] == name
    assert found["spec"]["names"]["shortNames"] == [short]
    assert found["spec"]["names"]["categories"] == ["numa"]
    assert found["spec"]["scope"] == scope


@pytest.mark.parametrize(
    ("kind", "plain", "wide"),
    [
        ("NumaPolicy", "Mode Memory Matched Pinned Verified Age", ""),
        ("NumaNode", "Sockets Nodes CPUs Cgroup Driver Ready Age", ""),
        (
            "NumaPin",
            "Policy Node Socket CPUs Mems Verdict Age",
            "Evidence Local% Cross-socketpages/s",
        ),
        ("NumaTrace", "Probe Node Pod Phase Age", "Message"),
    ],
)
def test_printer_columns(kind, plain, wide):
    found = next(crd.crd(k) for k in crd.KINDS if k.model.__name__ == kind)
    columns = found["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [c["name"].replace(" ", "") for c in columns if not c.get("priority")]
    assert shown == plain.split()
    assert [c["name"].replace(" ", "") for c in columns if c.get("priority")] == wide.split()


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda k: k.name)
def test_columns_and_selectable_fields_name_fields_that_exist(kind):
    known = {path for path, _ in nodes(crd.schema(kind))}
    paths = [column.path for column in kind.columns] + list(kind.selectable)
    for path in paths:
        plain = re.sub(r"\[\?.*?\]", "[]", path)
        assert plain in known or plain == ".metadata.creationTimestamp"


def test_every_field_has_one_type_and_nothing_unknown():
    for kind, path, node in ALL:
        assert isinstance(node.get("type"), str), (kind, path)
        assert node.keys() <= crd._KEPT, (kind, path)


def test_no_field_of_a_status_has_a_default():
    # What nobody wrote was not measured.
    for kind, path, node in ALL:
        assert not (path.startswith(".status") and "default" in node), (kind, path)


def test_every_list_says_how_managers_share_it():
    for kind, path, node in ALL:
        if node["type"] == "array":
            wanted = "map" if path.endswith(".conditions") else "atomic"
            assert node["x-kubernetes-list-type"] == wanted, (kind, path)


def test_descriptions_of_the_models_are_kept():
    spec = SCHEMAS["NumaPolicy"]["properties"]["spec"]["properties"]
    assert spec["mode"]["description"].startswith("Observe measures and advises")
    # What is said of a field wins over what is said of its type.
    assert spec["podSelector"]["description"].startswith("Among pods with label")


def test_model_without_a_structural_form_is_refused():
    with pytest.raises(ValueError, match="anyOf"):
        crd._structural({"anyOf": [{"type": "string"}]}, defs={}, defaults=True)
