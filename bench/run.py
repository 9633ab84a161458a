"""``make bench``: runs every bench beside this file and prints its numbers with units.

A bench that fails is named and does not keep the others from running; exit status 1 then,
and when a goal is missed. To be run as ``python -m bench.run`` from the checkout: run as a
script, this folder would be on ``sys.path`` and bench/operator.py hide the standard library's.
"""

import importlib
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click
from bench.harness import Bed, Bench, Row
from rich.console import Console
from rich.table import Table

from numapin_lab.lab import Lab
from numapin_lab.steps import Steps

NOT_BENCHES = {"harness", "run", "__init__"}


def names() -> list[str]:
    """Modules that are benches."""
    found = {file.stem for file in Path(__file__).parent.glob("*.py")} - NOT_BENCHES
    return sorted(n for n in found if hasattr(importlib.import_module(f"bench.{n}"), "measure"))


def shown(value: float) -> str:
    """Four figures at most, without scientific notation."""
    if value != value:  # noqa: PLR0124 -- NaN
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def table(title: str, rows: Sequence[Row], seconds: float) -> Table:
    """A bench's rows."""
    made = Table(title=f"{title}  ({seconds:.0f} s)", title_justify="left")
    made.add_column("")
    made.add_column("value", justify="right")
    made.add_column("unit")
    made.add_column("goal")
    for row in rows:
        mark = {None: "", True: " ✓", False: " ✗"}[row.met]
        style = "bold red" if row.met is False else ""
        made.add_row(row.what, shown(row.value), row.unit, row.goal + mark, style=style)
    return made


@click.command()
@click.argument("only", nargs=-1)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write rows here.")
def main(only: Sequence[str], json_file: Path | None) -> None:
    """Measure what is claimed: all benches, or those named."""
    console = Console()
    known = names()
    if unknown := set(only) - set(known):
        raise click.UsageError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    benches = {n: cast(Bench, importlib.import_module(f"bench.{n}")) for n in only or known}
    lab = Lab(Steps(Console(stderr=True)))
    if any(bench.NEEDS_LAB for bench in benches.values()):
        lab.up_as_is()
        lab.deploy()
    results: dict[str, list[Row]] = {}
    failed = []
    for name, bench in benches.items():
        begun = time.monotonic()
        try:
            results[name] = list(bench.measure(Bed(lab)))
        except Exception:  # noqa: BLE001 -- the others still run; the exit status tells
            failed.append(name)
            console.print(f"{name} failed:\n{traceback.format_exc()}", markup=False)
            continue
        console.print(table(bench.TITLE, results[name], time.monotonic() - begun))
    if json_file is not None:
        rows = {name: [asdict(r) for r in found] for name, found in results.items()}
        json_file.write_text(json.dumps(rows, indent=1) + "\n")
    missed = [r.what for found in results.values() for r in found if r.met is False]
    for what in missed:
        console.print(f"goal missed: {what}", style="bold red", highlight=False)
    sys.exit(1 if failed or missed else 0)


if __name__ == "__main__":
    main()
