"""What each scenario of values renders, to be read in review.

``make chart`` writes the snapshots anew. The default's holds every object; another scenario's
holds what differs from it. What is generated and checked elsewhere (CRDs, dashboard, rules) is
only named.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.chart import CHART, SCENARIOS, Helm, Object, render

pytestmark = pytest.mark.integration

SNAPSHOTS = Path(__file__).parent / "snapshots"
DEFAULT = CHART / "ci/default-values.yaml"
WRITTEN_ELSEWHERE: dict[str, Any] = {
    "files/dashboard.json": (CHART / "files/dashboard.json").read_text(),
    "files/rules.yaml": yaml.safe_load((CHART / "files/rules.yaml").read_text()),
    **{
        f"files/crds/{path.name}": yaml.safe_load(path.read_text())["spec"]
        for path in (CHART / "files/crds").glob("*.yaml")
    },
}


def named(obj: Object) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"


def short(part: Any) -> Any:
    """The object, with the names of files in place of their contents."""
    for file, content in WRITTEN_ELSEWHERE.items():
        if part == content:
            return f"({file})"
    return {k: short(v) for k, v in part.items()} if isinstance(part, dict) else part


def text(objects: list[Object], base: list[Object]) -> str:
    known = {named(o): o for o in base}
    found = {named(o): o for o in objects}
    lines = [f"# not there: {name}\n" for name in sorted(known.keys() - found.keys())]
    differing = [short(found[name]) for name in sorted(found) if known.get(name) != found[name]]
    return "".join(lines) + yaml.safe_dump_all(differing, sort_keys=True, width=100)


@pytest.fixture(scope="module")
def default(helm: Helm) -> list[Object]:
    return render(helm, file=DEFAULT)


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_renders_what_was_reviewed(
    helm: Helm, default, file: Path, pytestconfig: pytest.Config
):
    found = text(render(helm, file=file), [] if file == DEFAULT else default)
    snapshot = SNAPSHOTS / f"{file.stem.removesuffix('-values')}.yaml"
    if pytestconfig.getoption("renew_snapshots"):
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(found)
    assert found == snapshot.read_text(), "read the difference, then run make chart"


def test_every_snapshot_has_its_scenario():
    names = {file.stem.removesuffix("-values") for file in SCENARIOS}
    assert {path.stem for path in SNAPSHOTS.iterdir()} == names


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda path: path.stem)
def test_both_helms_render_the_same(helm: Helm, helm4: Helm, file: Path):
    assert render(helm4, file=file) == render(helm, file=file)


def test_both_helms_find_nothing_to_say(any_helm: Helm):
    for file in SCENARIOS:
        done = any_helm("lint", "--strict", CHART, f"--values={file}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]" not in done.stdout
