"""Where results go: data alone to stdout, or a picture for people; messages to stderr."""

import json
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPE_WIDTH: Final = 200
"""Columns where there is no terminal: enough that no table cell is wrapped for programs."""


def emit(style: str, data: object, render: Callable[[], "RenderableType"]) -> None:
    """Print a result.

    Args:
        style: table, json or yaml.
        data: what json and yaml print.
        render: makes what people see; called for the table only.
    """
    if not _emit_data(style, data):
        from rich.console import Console  # noqa: PLC0415 (rich costs 50 ms)

        # rich leaves colours out by itself where stdout is no terminal or NO_COLOR is set
        columns = None if sys.stdout.isatty() else PIPE_WIDTH
        Console(width=columns, highlight=False, soft_wrap=False).print(render())


def width() -> int:
    """Columns that a table may take."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def emit_text(style: str, data: object, render: Callable[[], str]) -> None:
    """Print a result where rich may be missing: in the agent's image.

    Args:
        style: table, json or yaml.
        data: what json and yaml print.
        render: makes what people see; called for the table only.
    """
    if not _emit_data(style, data):
        click.echo(render())


def _emit_data(style: str, data: object) -> bool:
    """Print data for programs; False when people are to see it."""
    if style == "json":
        click.echo(json.dumps(data, indent=1, ensure_ascii=False))
    elif style == "yaml":
        import yaml  # noqa: PLC0415 (only some calls need it, and it costs 20 ms)

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        return False
    return True


def note(message: str) -> None:
    """Say something to the person at the terminal."""
    click.echo(message, err=True)
