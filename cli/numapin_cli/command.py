"""What all commands share: help with examples, the options that name a cluster, ``-o``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

FORMATS: Final = ("table", "json", "yaml")


class Command(click.Command):
    """A command whose help ends in examples, spelled with the program's own name.

    Args:
        examples: pairs of arguments and what they do.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 (click's own signature)
        examples: tuple[tuple[str, str], ...] = (),
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        if not self.examples:
            return
        name = ctx.find_root().info_name
        with formatter.section("Examples"):
            for arguments, meaning in self.examples:
                formatter.write_text(meaning + ":")
                formatter.indent()
                formatter.write(f"{'':{formatter.current_indent}}{name} {arguments}\n")
                formatter.dedent()


output_option = click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="For people, or data alone for programs.",
)


def _or_said_before(ctx: click.Context, param: click.Parameter, value: object) -> object:
    """The option's value, or that of the same option before the command's name."""
    if value is not None or param.name is None or ctx.parent is None:
        return value
    return ctx.find_root().params.get(param.name)


def cluster_options(function: Decorated) -> Decorated:
    """The options that say which cluster is meant; kubectl takes them at either place."""
    for option in (
        click.option(
            "--context",
            callback=_or_said_before,
            help="Context of the kubeconfig. Its current one by default.",
        ),
        click.option(
            "--kubeconfig",
            type=click.Path(dir_okay=False, path_type=Path),
            callback=_or_said_before,
            help="By default $KUBECONFIG, else ~/.kube/config, else the pod's service account.",
        ),
    ):
        function = option(function)
    return function


namespace_option = click.option(
    "-n", "--namespace", help="Namespace. That of the context by default."
)


def nodes_options(function: Decorated) -> Decorated:
    """The options that say which agents are asked; without them all of them, if they are few."""
    for option in (
        click.option(
            "--all-nodes",
            "everywhere",
            is_flag=True,
            help="All nodes, however many: each is asked through the API server.",
        ),
        click.option(
            "--node", "nodes", multiple=True, help="Only this node; may be given several times."
        ),
        click.option(
            "-n",
            "--namespace",
            help="Only pods of this namespace, and only nodes that hold some. All by default.",
        ),
    ):
        function = option(function)
    return function
