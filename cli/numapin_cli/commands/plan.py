"""``numapin plan``: where pods would go, from files or the cluster, without changing anything."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from numapin_api.errors import ManifestError
from numapin_api.policy import NumaPolicySpec
from numapin_cli.answers import Json
from numapin_cli.command import Command, cluster_options, output_option
from numapin_cli.connect import Where, connect
from numapin_cli.failures import ForbiddenError
from numapin_cli.kube import Cluster
from numapin_cli.output import emit, note

if TYPE_CHECKING:
    from numapin_cli.planning.manifests import Objects

MOST_NAMED: Final = 5
"""So many NumaPins of pods that are not given are named; the rest are counted."""


@click.command(
    cls=Command,
    examples=(
        ("plan -f nodes.yaml -f pods.yaml", "From files"),
        ("plan --rebalance", "The cluster as it is, and what is worth moving"),
        ("plan -f all.json -o json | jq '.unplaceable[]'", "What gets no place, for programs"),
    ),
)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    help="Manifests, YAML or JSON; - is standard input. Without any, the cluster is read.",
)
@click.option("--rebalance", is_flag=True, help="Also say which pinned pods are worth moving.")
@click.option("--explain", is_flag=True, help="Show what was weighed: every socket's scores.")
@cluster_options
@output_option
def command(  # noqa: PLR0913, PLR0917 (click passes each option)
    files: tuple[str, ...],
    rebalance: bool,
    explain: bool,
    kubeconfig: Path | None,
    context: str | None,
    style: str,
) -> None:
    """Say where labelled pods would go, and change nothing.

    Files hold NumaNodes, Pods with spec.nodeName, NumaPolicies, and NumaPins that exist
    already, in any order; pods are decided in theirs. "kubectl get numanodes,pods -A -o
    yaml" makes such a file. Other kinds are passed over. A pod that has a NumaPin stays
    where it is.

    It is the operator's own planner that answers. Pods that no NumaPolicy matches are
    under the built-in policy; the chart's defaultPolicy may say otherwise.

    --rebalance asks as if every policy had placement.rebalance.mode Auto, every socket had
    been too busy for long enough, and no pod had been moved lately. GAIN is in percent of
    a socket.

    Exit status 1 if a file can't be read or understood; pods that get no place are part of
    the answer.
    """
    from numapin_cli.planning.answer import plan_of  # noqa: PLC0415
    from numapin_cli.planning.decide import Planner  # noqa: PLC0415
    from numapin_cli.views.plan import render  # noqa: PLC0415

    if files and (kubeconfig is not None or context is not None):
        named = "--kubeconfig" if kubeconfig is not None else "--context"
        raise click.UsageError(f"{named} and -f can't be combined: files ask no cluster")
    objects = _read(files) if files else _ask(Where(kubeconfig, context))
    answer = Planner(objects, NumaPolicySpec()).answer(explain=explain, moves=rebalance)
    if answer.unlabelled:
        note(f"{answer.unlabelled} pods without the label numapin.io/pin=true are left out")
    if files and answer.idle:
        more = len(answer.idle) - MOST_NAMED
        names = ", ".join(map(str, answer.idle[:MOST_NAMED])) + (f" and {more} more" * (more > 0))
        note(f"NumaPins take no room without the labelled Pod that they are of: {names}")
    found = plan_of(answer, explain=explain, moves=rebalance)
    emit(style, found.data(), lambda: render(found))


def _read(files: tuple[str, ...]) -> "Objects":
    from numapin_cli.planning.manifests import Objects, read  # noqa: PLC0415

    objects = Objects()
    for name in files:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError as e:
            raise ManifestError(f"{name}: not UTF-8 text") from e
        except OSError as e:
            raise ManifestError(f"{name}: {e.strerror}") from e
        read(text, source="standard input" if name == "-" else name, into=objects)
    for said in objects.notes.values():
        note(said)
    if not objects.nodes:
        note("no NumaNode is given: without one no pod can be placed")
    return objects


def _ask(where: Where) -> "Objects":
    from numapin_cli.planning.manifests import Objects  # noqa: PLC0415

    with connect(where) as cluster:
        return Objects(
            nodes=[n.wire() for n in cluster.numa_nodes()],
            pods=sorted(
                cluster.opted_in_pods(None),
                key=lambda p: (
                    p["metadata"].get("creationTimestamp") or "",
                    p["metadata"]["namespace"],
                    p["metadata"]["name"],
                ),
            ),
            policies=[p.wire() for p in cluster.policies()],
            pins=[p.wire() for p in cluster.pins(None)],
            namespaces=_namespaces(cluster),
        )


def _namespaces(cluster: Cluster) -> list[Json]:
    try:
        return list(cluster.namespaces())
    except ForbiddenError as e:
        note(f"policies with a namespaceSelector may be taken wrongly: {e}")
        return []
