"""``numapin advise``: which pods without the label would gain by it."""

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from numapin_cli.command import Command, cluster_options, nodes_options, output_option
from numapin_cli.connect import Where, connect
from numapin_cli.failures import ForbiddenError
from numapin_cli.kube import Cluster
from numapin_cli.output import emit, note, width

if TYPE_CHECKING:
    from numapin_cli.advise.answer import Ranking
    from numapin_cli.advise.facts import Machine
    from numapin_cli.live.gather import Scope
    from numapin_cli.live.values import Gathered

WINDOW_SECONDS: Final = (5, 3600)


def _window(ctx: click.Context, param: click.Parameter, value: str) -> int:  # noqa: ARG001 (click)
    from numapin_api.policy import seconds  # noqa: PLC0415

    least, most = WINDOW_SECONDS
    try:
        found = seconds(value)
    except ValueError as e:
        raise click.BadParameter(f"{value!r} is not like 30s or 5m") from e
    if not least <= found <= most:
        raise click.BadParameter(f"{value!r} is not between {least}s and {most // 60}m")
    return found


@click.command(
    cls=Command,
    examples=(
        ("advise", "All pods without the label"),
        ("advise -n shop --window 5m", "Pods of a namespace, counted for five minutes"),
        ("advise --node numa-0 --all", "All pods of a node, those with nothing to gain, too"),
        (
            "advise -o json | jq -r '.pods[] | select(.advice == \"Pin\") | .labelCommand'",
            "The commands alone",
        ),
    ),
)
@nodes_options
@click.option(
    "--window",
    default="30s",
    show_default=True,
    callback=_window,
    help="How long to count, 5s to 60m.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Also pods that have nothing to gain, or are unknown."
)
@cluster_options
@output_option
def command(  # noqa: PLR0913, PLR0917 (click passes each option)
    namespace: str | None,
    nodes: tuple[str, ...],
    everywhere: bool,
    window: int,
    everything: bool,
    kubeconfig: Path | None,
    context: str | None,
    style: str,
) -> None:
    """Say which pods without the label would gain by it, with the command to label them.

    The agents count all pods of their nodes. Their counters are read twice, through the
    API server and with your own rights: listing pods, and getting pods/proxy (or,
    where that is shut, creating pods/portforward) in the namespace of the agents. Nothing
    is changed.

    Ranked by milliseconds a second spent migrating pages, then by pages a second that
    hint faults found on another socket, then by pages that changed socket.

    \b
    Pin       it moves pages between sockets, and nothing speaks against a pin.
    Consider  something does: no room now, a CPU or memory limit larger than a
              socket, hardly a CPU to spare, or quiet in this window but not before.
    Leave     it can't be pinned, or would be harmed: larger than a socket, busy on
              more CPUs than one has, or kept on a socket by another tool already.
    Unknown   nothing is counted: NUMA balancing off, no counters, too young.
    Quiet     nothing to gain in this window.

    How many pods would fit is worked out by the operator's planner, pod by pod, with the
    built-in policy: a NumaPolicy or the chart's defaultPolicy may say otherwise, and two
    pods that are advised may not both have room.

    What it can't know: what the pods do at other times, how much time local memory saves
    them, and whether they share memory with pods elsewhere. A pin tells: its verdict
    compares with before, and removing the label undoes it.

    Exit status 1 if a node could not be asked; the others are shown all the same.
    """  # noqa: D301 (click wants the control character)
    from numapin_cli.live.gather import Scope, Scraper, agents, gather  # noqa: PLC0415
    from numapin_cli.views.ranking import command_lines, render  # noqa: PLC0415

    scope = Scope(namespace, nodes, everywhere=everywhere)
    with connect(Where(kubeconfig, context)) as cluster:
        chosen, scrape = agents(cluster, scope), Scraper(cluster)
        first = gather(chosen, scrape)
        if sys.stderr.isatty():
            note(f"counting for {window} s")
        time.sleep(window)
        found = _ranking(cluster, scope, first, gather(chosen, scrape))
    for problem in found.problems if style != "table" else ():
        note(f"{problem.node}: {problem.message}")
    data = found.model_dump(mode="json", by_alias=True)
    emit(style, data, lambda: render(found, everything=everything, width=width()))
    if style == "table":
        for line in command_lines(found):
            click.echo(line)
    if found.problems:
        sys.exit(1)


def _ranking(cluster: Cluster, scope: "Scope", first: "Gathered", last: "Gathered") -> "Ranking":
    from numapin_cli.advise.judge import ranking  # noqa: PLC0415

    nodes = last.readings.keys()
    named = sorted(scope.nodes) if scope.nodes else [None]
    pods = [p for node in named for p in cluster.pods(scope.namespace, node=node)]
    return ranking(
        [p for p in pods if (p.get("spec") or {}).get("nodeName") in nodes],
        _machines(cluster),
        first=first,
        last=last,
        now=datetime.now(UTC).replace(microsecond=0),
    )


def _machines(cluster: Cluster) -> Mapping[str, "Machine"]:
    """Nodes with what pins take of them; empty where the user may not look."""
    from numapin_cli.advise.facts import machine, pinned  # noqa: PLC0415

    try:
        taken = pinned(cluster.pins(None), cluster.opted_in_pods(None))
    except ForbiddenError as e:
        note(f"what is pinned already is not known, so there may be less room than is said: {e}")
        taken = {}
    try:
        return {
            n.metadata.name: machine(n, taken.get(n.metadata.name, ()))
            for n in cluster.numa_nodes()
        }
    except ForbiddenError as e:
        note(f"how large sockets are is not known: {e}")
        return {}
