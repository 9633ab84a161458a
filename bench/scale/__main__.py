"""``python -m bench.scale run`` measures one size of cluster, ``series`` all, ``draw`` draws.

Run from the checkout with ``PYTHONPATH=lab``. A run that was broken off and is given the same
directory goes on where it stopped; figures are added to docs/scale.json.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from bench.scale import figures
from bench.scale.api import Api
from bench.scale.bed import Bed
from bench.scale.shape import Shape
from bench.scale.stages import STAGES, Run

from numapin_api import crd
from numapin_lab.paths import checkout

RESULTS: Final = checkout() / "docs" / "scale.json"
SERIES: Final = (
    *(Shape(5000, pods, 2 * pods, 10) for pods in (5000, 20_000, 100_000)),
    *(Shape(nodes, 5000, 0, 10) for nodes in (500, 2000, 5000)),
    *(Shape(2000, 5000, 0, policies) for policies in (50, 100)),
)
"""The points of the curves: pods, nodes, policies."""


@click.group()
def main() -> None:
    """Measure the operator on simulated clusters of any size."""


@main.command()
@click.option("--directory", type=click.Path(path_type=Path), required=True, help="Kept.")
@click.option("--nodes", default=200, show_default=True)
@click.option("--pods", default=4000, show_default=True, help="All, labelled or not.")
@click.option("--labelled", default=None, type=int, help="Of them; a third without this.")
@click.option("--policies", default=10, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="How long rates are kept up.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--stage", "only", multiple=True, type=click.Choice(STAGES), help="All without this.")
@click.option("--operator-flag", multiple=True, help="Such as --api-rate=1000.")
def run(  # noqa: PLR0913 -- one per flag
    *,
    directory: Path,
    nodes: int,
    pods: int,
    labelled: int | None,
    policies: int,
    seconds: float,
    results: Path,
    only: tuple[str, ...],
    operator_flag: tuple[str, ...],
) -> None:
    """Measure one size; goes on where an earlier run in the same directory stopped."""
    wanted = pods // 3 if labelled is None else labelled
    if not 0 < wanted <= pods:
        raise click.BadParameter(f"{wanted} is not within 1 and {pods}", param_hint="--labelled")
    size = Shape(nodes, wanted, pods - wanted, policies)
    _measure(size, directory, results, seconds=seconds, flags=operator_flag, only=only or STAGES)


@main.command()
@click.option("--directory", type=click.Path(path_type=Path), required=True, help="For the time.")
@click.option("--most", default=100_000, show_default=True, help="Labelled pods of one point.")
@click.option("--seconds", default=60.0, show_default=True, help="How long rates are kept up.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def series(*, directory: Path, most: int, seconds: float, results: Path) -> None:
    """Measure all points of the curves that have no figures yet, smallest first."""
    for size in sorted(SERIES, key=lambda s: (s.labelled, s.nodes, s.policies)):
        if size.labelled > most or size.label in _found(results):
            continue
        place = directory / size.label
        _measure(size, place, results, seconds=seconds, flags=())
        shutil.rmtree(place)


def _found(results: Path) -> dict[str, Any]:
    return dict(json.loads(results.read_text())) if results.exists() else {}


def _measure(  # noqa: PLR0913 -- all but three by keyword
    size: Shape,
    directory: Path,
    results: Path,
    *,
    seconds: float,
    flags: tuple[str, ...],
    only: Collection[str] = STAGES,
) -> None:
    """Measure one size and add its figures to the results."""
    bed = Bed(directory)
    begun = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - begun:7.0f} s  {text}", err=True)

    async def measure() -> None:
        async with Api(bed.plane) as api:
            for kind in crd.KINDS:
                await api.make(
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd.crd(kind)
                )
            run = Run(bed=bed, api=api, size=size, seconds=seconds, flags=flags, say=say)
            await run.all(only)

    say(size.label)
    with bed.plane:
        asyncio.run(measure())
    found = _found(results) | {size.label: asdict(size) | bed.results}
    results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


@main.command()
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def draw(results: Path) -> None:
    """Draw docs/images/scale-*.svg from the figures."""
    for path in figures.draw(json.loads(results.read_text()), checkout() / "docs" / "images"):
        click.echo(path)


main()
