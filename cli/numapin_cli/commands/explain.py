"""``numapin explain POD``: every check behind a verdict, or why there is none."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import click

from numapin_api.errors import ApiError
from numapin_cli.command import Command, cluster_options, namespace_option, output_option
from numapin_cli.connect import Where, connect
from numapin_cli.failures import ForbiddenError
from numapin_cli.kube import Cluster
from numapin_cli.output import emit
from numapin_cli.views.advice import next_steps
from numapin_cli.views.explain import render
from numapin_cli.views.explanation import Explanation, explain
from numapin_cli.views.unpinned import Surroundings, explain_unpinned

NO: Final = frozenset({"Ineffective", "Drifted", "Conflict", "Unplaceable", "Invalid"})
Answer = TypeVar("Answer")


@click.command(
    cls=Command,
    examples=(
        ("explain redis-0", "A pod of the current namespace"),
        ("explain redis-0 -n shop -o json | jq '.checks[] | select(.ok == false)'", "What failed"),
    ),
)
@click.argument("pod")
@namespace_option
@cluster_options
@output_option
def command(
    pod: str, namespace: str | None, kubeconfig: Path | None, context: str | None, style: str
) -> None:
    """Show every check behind a pod's verdict, with its numbers and limits.

    What was asked for and what is in force, for the pod and each container; where its
    memory lies; migrations before and after the pin; hint-fault locality, or why it
    is not valid; how each signal is had; what to do next. For a pod without a pin:
    which step towards one was not taken.

    \b
    Exit status 0: the pin is in force and nothing speaks against it
                1: something does (Ineffective, Drifted, Conflict, Unplaceable,
                   Invalid), or the pod has no pin, or there is no such pod
    """  # noqa: D301 (click wants the control character)
    now = datetime.now(UTC)
    with connect(Where(kubeconfig, context)) as cluster:
        found = _explain(cluster, namespace or cluster.namespace, pod, now=now)
    emit(style, found.model_dump(mode="json", by_alias=True), lambda: render(found, now=now))
    if found.policy is None or found.verdict in NO:
        sys.exit(1)


def _explain(cluster: Cluster, namespace: str, name: str, *, now: datetime) -> Explanation:
    pin = cluster.pin(namespace, name)
    if pin is not None:
        found = explain(pin, _allowed(lambda: cluster.numa_node(pin.spec.node_name)), now=now)
        return found.model_copy(update={"next": next_steps(found)})
    pod = cluster.pod(namespace, name)
    if pod is None:
        raise ApiError(f"there is no pod {name} in namespace {namespace}")
    installed = _allowed(cluster.installed)
    node: str | None = (pod.get("spec") or {}).get("nodeName")
    nodes = None
    if node and installed is not False:
        nodes = _allowed(lambda: [n for n in [cluster.numa_node(node)] if n is not None])
    around = Surroundings(installed=installed, operators=_allowed(cluster.operators), nodes=nodes)
    return explain_unpinned(pod, around)


def _allowed(ask: Callable[[], Answer]) -> Answer | None:
    """The answer, or None where the user may not ask: the rest is still worth showing."""
    try:
        return ask()
    except ForbiddenError:
        return None
