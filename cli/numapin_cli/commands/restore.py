"""``numapin restore``: on a node, as root; needs no cluster."""

from pathlib import Path

import click

from numapin_cli.command import Command, output_option
from numapin_cli.output import emit_text, note


class _OnNode(click.ParamType[Path]):
    """A path as the node itself has it."""

    name = "directory"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        path = Path(value)
        if not path.is_absolute() or ".." in path.parts:
            self.fail(f"{str(value)!r} is no absolute path of the node without ..", param, ctx)
        return path


@click.command(
    cls=Command,
    examples=(
        ("restore --dry-run", "What is pinned on this machine"),
        ("restore", "Give all of it back"),
        ("restore --root /host", "The same from a container that has the node's / at /host"),
    ),
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("/"),
    show_default=True,
    help="Directory that holds the node's sys, proc and run.",
)
@click.option(
    "--cgroup-dir",
    type=_OnNode(),
    default="/sys/fs/cgroup",
    show_default=True,
    help="The node's cgroup hierarchy below the root, as the chart's agent.hostPaths.cgroup.",
)
@click.option(
    "--dbus-dir",
    type=_OnNode(),
    default="/run/dbus",
    show_default=True,
    help="The node's system bus below the root, as the chart's agent.hostPaths.dbus.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option(
    "--all",
    "all_pods",
    is_flag=True,
    help="Also pods whose cpuset numapin has no record of: it may be another tool's.",
)
@click.option("--force", is_flag=True, help="Even while a numapin agent runs here.")
@output_option
def command(  # noqa: PLR0913 (click passes each option)
    root: Path,
    *,
    cgroup_dir: Path,
    dbus_dir: Path,
    dry_run: bool,
    all_pods: bool,
    force: bool,
    style: str,
) -> None:
    """Give pods on this node their whole cpuset back.

    For a node that the agent has left without giving its pins back. Agents keep pins when
    they end, on purpose; `helm uninstall` and taking the label off a pod un-pin by
    themselves, so this is only for nodes that could not be reached then.

    Every pod that an agent has on file gets its parent's CPUs and NUMA nodes, systemd
    forgets its properties, and the kernel is asked whether it took effect.

    Exit status: 1 if a pod could not be given back.
    """
    from numapin_agent.hostpaths import HostPaths  # noqa: PLC0415 (--help needs none of it)
    from numapin_agent.restore import Restorer  # noqa: PLC0415
    from numapin_cli.views import restore as view  # noqa: PLC0415

    paths = HostPaths(root, cgroup_dir, dbus_dir)
    restorer = Restorer.on_this_host(paths, paths.state_dir, force=force)
    outcomes = [
        restorer.restore(found, dry_run=dry_run, all_pods=all_pods) for found in restorer.find()
    ]
    emit_text(style, view.as_data(outcomes), lambda: view.table(outcomes))
    if any(o.result == "NotOnFile" for o in outcomes):
        note("pods NotOnFile were left alone: --all gives their cpusets back too")
    if any(o.result == "Failed" for o in outcomes):
        raise SystemExit(1)
