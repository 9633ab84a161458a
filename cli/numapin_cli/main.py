"""The command ``numapin``, also ``kubectl numapin``: parses, calls, reports failure.

Each command lives in a module of its own that is imported when it is called, so that
``numapin topology`` does not wait for a Kubernetes client it never uses. Data goes to
stdout, messages to stderr; exit status is 0, 1 (the answer is no, or it failed) or 2
(wrong usage).
"""

import importlib
import sys
from pathlib import Path
from typing import Any, Final

import click

from numapin_api.errors import NumapinError
from numapin_cli.command import cluster_options

COMMANDS: Final = {
    "topology": "Show this machine's sockets, NUMA nodes and distances.",
    "doctor": "Say what a node or a cluster lacks, and what to do about it.",
    "nodes": "Show what each Kubernetes node is made of and can do.",
    "status": "Show pods, where they are pinned, and whether it took effect.",
    "explain": "Show every check behind a pod's verdict, with its numbers.",
    "top": "Show what NUMA balancing does to each pod, live.",
    "advise": "Say which pods without the label would gain by it.",
    "trace": "Ask the kernel what it does to a pod: timers, interrupts, waits, page faults.",
    "plan": "Say where pods would go, from files or the cluster, and what would be moved.",
    "restore": "Give pods on this node their cpusets back, when no agent is left to do so.",
}
"""Name → what the list of commands says. Each is function ``command`` of a module so named."""


class Commands(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """In the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"numapin_cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    invoke_without_command=False,
)
@click.version_option(package_name="numapin", message="%(package)s %(version)s")
@cluster_options
@click.pass_context
def cli(ctx: click.Context, kubeconfig: Path | None, context: str | None) -> None:
    """Keeps pods on one CPU socket and proves it with kernel counters.

    A pod asks to be pinned with the label numapin.io/pin=true. All commands but restore
    only look: they change nothing in the cluster or on the machine. What trace asks of a
    node stands in the cluster until it has the answer.

    Exit status: 0; 1 if the answer is no or it could not be had; 2 for wrong usage.
    """
    said = {"kubeconfig": kubeconfig, "context": context}
    command = cli.get_command(ctx, ctx.invoked_subcommand or "")
    taken = {p.name for p in command.params} if command is not None else set()
    for option, value in said.items():
        if value is not None and option not in taken:
            raise click.UsageError(
                f"--{option} {value}: {ctx.invoked_subcommand} asks no cluster; leave it out", ctx
            )


def program(argv0: str) -> str:
    """What users typed to get here: kubectl runs plugins as ``kubectl-numapin``.

    Args:
        argv0: ``sys.argv[0]``.
    """
    return "kubectl numapin" if Path(argv0).name.startswith("kubectl-") else "numapin"


def main(argv: list[str] | None = None, argv0: str | None = None) -> None:
    """Run the command line and exit.

    Args:
        argv: arguments without the program's name; those of this process if absent.
        argv0: the program's name; that of this process if absent.
    """
    name = program(argv0 or sys.argv[0])
    options: dict[str, Any] = {"prog_name": name}
    try:
        cli.main(argv, **options)
    except NumapinError as e:
        click.echo(f"{name}: {e}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
