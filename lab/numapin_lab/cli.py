"""The one command of the lab: `lab/lab`.

Thin: every subcommand calls one method. Progress goes to stderr, data to stdout.
"""

import os
import sys
from collections.abc import Sequence

import click
from rich.console import Console

from numapin_api.errors import NumapinError
from numapin_lab import config, guestroot, nodes
from numapin_lab.lab import Lab
from numapin_lab.steps import Steps

_PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """A two-socket Kubernetes on this machine, to try, test and measure numapin."""
    context.obj = Lab(Steps(Console(stderr=True)))


@main.command()
@click.option(
    "--topology",
    type=click.Choice(sorted(config.TOPOLOGIES)),
    help="Machine to imitate (default: as it is, else 2s).",
)
@click.option("--nodes", "count", type=int, help="Number of nodes (default: as it is, else 1).")
@click.option("--kernel", type=click.Choice(sorted(guestroot.KERNEL_PACKAGES)))
@click.pass_obj
def up(lab: Lab, topology: str | None, count: int | None, kernel: str | None) -> None:
    """Build what is missing, start control plane and nodes, wait until they are Ready."""
    now = lab.state()
    lab.up(
        topology=topology or (now.topology if now else config.DEFAULT_TOPOLOGY),
        count=count or (len(now.nodes) if now and now.nodes else 1),
        kernel=kernel or (now.kernel if now else max(guestroot.KERNEL_PACKAGES)),
    )
    click.echo(f"export KUBECONFIG={lab.paths.kubeconfig}")


@main.command()
@click.pass_obj
def down(lab: Lab) -> None:
    """End nodes and control plane."""
    lab.down()


@main.command(context_settings=_PASS_THROUGH)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def kubectl(lab: Lab, args: Sequence[str]) -> None:
    """Run kubectl against the lab."""
    _become_client(lab, "kubectl", args)


@main.command(context_settings=_PASS_THROUGH)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def helm(lab: Lab, args: Sequence[str]) -> None:
    """Run helm against the lab."""
    _become_client(lab, "helm", args)


@main.command(context_settings=_PASS_THROUGH)
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(lab: Lab, node: str, command: Sequence[str]) -> None:
    """Run a command in a node as root, or a shell."""
    _become(nodes.ssh(lab.node(node), lab.paths, list(command)))


def _become_client(lab: Lab, program: str, args: Sequence[str]) -> None:
    os.environ["KUBECONFIG"] = str(lab.paths.kubeconfig)
    _become([str(lab.programs() / program), *args])


def _become(argv: Sequence[str]) -> None:
    """Replace this process, so that streams, signals and exit status are the program's own."""
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


def run() -> None:
    """Entry point: errors that are told on purpose are shown without a traceback."""
    try:
        main(prog_name="lab/lab")
    except NumapinError as error:
        click.echo(f"lab/lab: {error}", err=True)
        sys.exit(1)
