"""``numapin top``: what NUMA balancing does to each pod, second by second."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from numapin_api.topology import Topology
from numapin_cli.command import Command, cluster_options, nodes_options, output_option
from numapin_cli.connect import Where, connect
from numapin_cli.failures import ForbiddenError
from numapin_cli.kube import Cluster
from numapin_cli.live.rows import SORTS, Sort
from numapin_cli.output import emit, note, width

if TYPE_CHECKING:
    from numapin_cli.live.frame import By, Frame, Look
    from numapin_cli.live.gather import Scope

LEAST_SECONDS: Final = 1.0
FIND_SECONDS: Final = 30.0
"""How often it is looked for agents and pods that came or went."""


@click.command(
    cls=Command,
    examples=(
        ("top", "All pods, live"),
        ("top -n shop --sort cross", "Pods of a namespace, by pages that change socket"),
        ("top --node numa-0 --by pair", "Between which sockets of a node pages move"),
        ("top --once -o json | jq '.pods[] | select(.crossSocketPagesPerSecond > 100)'", "Once"),
        ("top --count 6 -d 10 -o json >minute.json", "Every ten seconds, for a minute"),
    ),
)
@nodes_options
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="time",
    show_default=True,
    help="Order of pods, highest first; local: the least local first.",
)
@click.option("-r", "--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--by",
    type=click.Choice(("pod", "pair")),
    default="pod",
    show_default=True,
    help="A line for each pod, or for each pair of sockets of each node.",
)
@click.option(
    "-d",
    "--interval",
    type=click.FloatRange(LEAST_SECONDS, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two readings.",
)
@click.option("--once", is_flag=True, help="One table, then end. The same as --count 1.")
@click.option("--count", type=click.IntRange(1), help="So many tables, then end.")
@cluster_options
@output_option
def command(  # noqa: PLR0913, PLR0917 (click passes each option)
    namespace: str | None,
    nodes: tuple[str, ...],
    everywhere: bool,
    sort: Sort,
    reverse: bool,
    by: "By",
    interval: float,
    once: bool,
    count: int | None,
    kubeconfig: Path | None,
    context: str | None,
    style: str,
) -> None:
    """Show what NUMA balancing does to each pod, live; pods without the label, too.

    Figures come from the agents' counters, through the API server, with your own rights:
    listing pods, and getting pods/proxy (or, where that is shut, creating pods/portforward)
    in the namespace of the agents. They are rates
    between two readings; a dash means that a pod has not been read twice yet, or that
    the figure can't be had.

    \b
    PIN       socket of the pod's pin; in parentheses while it is not in force.
    MS/S      milliseconds a second that the pod's threads spent migrating pages.
    CROSS/S   pages a second that went to another socket.
    PAGES/S   pages a second that went to another NUMA node.
    TASKS/S   threads a second that were moved to another socket.
    REMOTE/S  pages a second that a hint fault found on another socket.
    LOCAL     share of hint faults that found the page on the same socket. Only of
              pods with several threads in a process, and of 100 pages at least:
              of a single thread the kernel samples remote pages only.
    CPU       of one CPU; of pods that NUMA balancing has touched, or with a pin.
    MEMORY    resident; BY NODE: its shares by NUMA node, in per cent.
    FAULTS/S  by pair of sockets: pages that lay on the first when a CPU of the
              second touched them.

    Where the terminal is narrow, columns are left out. On a terminal it goes on until q;
    where the output is none, or with -o, it ends after one table unless --count says
    otherwise.

    \b
    Keys      < >  or arrows: another order     r  the other way round
              p    pods or pairs of sockets     q  end

    Exit status 1 if a node could not be asked; the others are shown all the same.
    """  # noqa: D301 (click wants the control character)
    from numapin_cli.live.frame import Look  # noqa: PLC0415 (--help needs none of it)
    from numapin_cli.live.gather import Scope  # noqa: PLC0415

    if once and count not in (None, 1):
        raise click.UsageError(f"--once and --count {count} contradict each other.")
    look = Look(sort, reverse=reverse, by=by)
    scope = Scope(namespace, nodes, everywhere=everywhere)
    tables = 1 if once else count
    last: Frame | None = None
    with connect(Where(kubeconfig, context)) as cluster, suppress(KeyboardInterrupt):
        if style == "table" and tables is None and _interactive():
            from numapin_cli.live.screen import show  # noqa: PLC0415

            last = show(
                lambda wait: _frames(cluster, scope, interval, wait),
                look,
                interval=interval,
                namespaces=namespace is None,
            )
        else:
            frames = _frames(cluster, scope, interval, _sleep)
            for number, found in zip(range(tables or 1), frames, strict=False):
                last = found
                _print(style, found, look, namespaces=namespace is None, number=number)
    if last is not None and last.problems:
        sys.exit(1)


def _interactive() -> bool:
    from rich.console import Console  # noqa: PLC0415 (rich costs 50 ms)

    return sys.stdin.isatty() and sys.stdout.isatty() and not Console().is_dumb_terminal


def _frames(
    cluster: Cluster, scope: "Scope", interval: float, wait: Callable[[float], bool]
) -> Iterator["Frame"]:
    """One frame after the other, without end.

    Args:
        cluster: where.
        scope: which nodes and pods.
        interval: seconds between two readings.
        wait: waits so long; whether to end.
    """
    from numapin_cli.live.frame import frame  # noqa: PLC0415
    from numapin_cli.live.gather import Scraper, agents, gather  # noqa: PLC0415

    scrape = Scraper(cluster)
    topologies = _topologies(cluster)
    chosen, found_at = agents(cluster, scope), time.monotonic()
    first = gather(chosen, scrape)
    while not wait(interval):
        begun = time.monotonic()
        if first.problems or begun - found_at >= FIND_SECONDS:
            # A pod that is gone stays in nobody's list, and a new agent has a new name.
            chosen, found_at = agents(cluster, scope), begun
        last = gather(chosen, scrape)
        yield frame(
            first.readings,
            last,
            topologies=topologies,
            namespace=scope.namespace,
            now=datetime.now(UTC).replace(microsecond=0),
        )
        # Who can't be asked just now has a longer window the next time.
        first = replace(last, readings={**first.readings, **last.readings})


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _topologies(cluster: Cluster) -> Mapping[str, Topology]:
    """Of all nodes; none where the user may not look: pairs are then not told apart."""
    try:
        found = cluster.numa_nodes()
    except ForbiddenError as e:
        note(f"pairs of sockets are not told apart: {e}")
        return {}
    return {
        n.metadata.name: n.status.topology.value() for n in found if n.status and n.status.topology
    }


def _print(style: str, found: "Frame", look: "Look", *, namespaces: bool, number: int) -> None:
    from numapin_cli.views.top import body  # noqa: PLC0415

    if number:
        click.echo({"table": "", "yaml": "---", "json": ""}[style], nl=style != "json")
    for problem in found.problems if style != "table" else ():
        note(f"{problem.node}: {problem.message}")
    emit(style, found.data(look), lambda: body(found, look, namespaces=namespaces, width=width()))
