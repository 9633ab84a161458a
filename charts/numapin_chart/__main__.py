"""Writes or checks the generated files of the chart.

python -m numapin_chart --write    # anew
python -m numapin_chart --check    # exit status 1 when they differ
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from numapin_api.errors import ChartError
from numapin_chart import dashboard, readme, schema, values

CHART: Final = Path(__file__).resolve().parents[1] / "numapin"
_HEAD: Final = Path(__file__).with_name("README.head.md")


def files() -> Mapping[str, str]:
    """What each generated file should hold, by its path in the chart.

    Raises:
        ChartError: values.yaml can't be understood.
    """
    found = values.read((CHART / "values.yaml").read_text(encoding="utf-8"))
    return {
        "values.schema.json": schema.text(found),
        "README.md": readme.text(_HEAD.read_text(encoding="utf-8"), found),
        "files/dashboard.json": dashboard.text(),
    }


def drift() -> tuple[str, ...]:
    """Paths in the chart that are not what they should be.

    Raises:
        ChartError: values.yaml can't be understood.
    """
    return tuple(name for name, text in files().items() if _there(CHART / name) != text)


def _there(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


@click.command()
@click.option("--write/--check", required=True, default=None, help="Write the files, or compare.")
def main(*, write: bool) -> None:
    """Write or check the generated files of the chart."""
    try:
        if write:
            for name, text in files().items():
                (CHART / name).write_text(text, encoding="utf-8")
        stale = drift()
    except ChartError as error:
        raise click.ClickException(str(error)) from error
    for name in stale:
        click.echo(f"charts/numapin/{name} is not what it should be: run make chart", err=True)
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
