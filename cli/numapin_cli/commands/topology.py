"""``numapin topology``: needs no cluster and no privileges."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from numapin_cli.command import Command, output_option
from numapin_cli.output import emit

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command(
    cls=Command,
    examples=(
        ("topology", "This machine"),
        ("topology -o json", "The same for programs"),
        ("topology --root ./dump", "Another machine, from a copy of its sys and proc"),
    ),
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("/"),
    show_default=True,
    help="Directory that holds the machine's sys and proc.",
)
@output_option
def command(root: Path, style: str) -> None:
    """Show a machine's sockets, NUMA nodes, memory and distances.

    A socket is a physical package with its online CPUs. A NUMA node belongs to the
    socket that holds all its online CPUs; memory-only nodes (CXL, HBM, GPU) and nodes
    that span sockets belong to none (null).

    What a cgroup or a cpuset forbids plays no part. A machine whose sysfs contradicts
    itself is refused, with the file and the value.
    """
    from numapin_agent.hostpaths import HostPaths  # noqa: PLC0415 (--help needs none of it)
    from numapin_agent.sysfs import read_topology  # noqa: PLC0415
    from numapin_cli.views import topology as view  # noqa: PLC0415

    topology = read_topology(HostPaths(root))

    def render() -> "RenderableType":
        from numapin_cli.views.picture import picture  # noqa: PLC0415

        return picture(topology)

    emit(style, view.as_data(topology), render)
