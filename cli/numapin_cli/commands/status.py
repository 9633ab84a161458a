"""``numapin status``: the pods that asked for a pin."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from numapin_api.names import PIN_SELECTOR
from numapin_cli.command import Command, cluster_options, namespace_option, output_option
from numapin_cli.connect import Where, connect
from numapin_cli.output import emit, note
from numapin_cli.views import status as view


@click.command(
    cls=Command,
    examples=(
        ("status", "Pods of the current namespace"),
        ("status -A", "Pods of all namespaces"),
        ("status redis-0 -n shop", "One pod"),
        (
            "status -A -o json | jq '.pods[] | select(.verdict != \"Verified\")'",
            "What is not proven",
        ),
    ),
)
@click.argument("pod", required=False)
@namespace_option
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Pods of all namespaces.")
@cluster_options
@output_option
def command(  # noqa: PLR0913, PLR0917 (click passes each option)
    pod: str | None,
    namespace: str | None,
    everywhere: bool,
    kubeconfig: Path | None,
    context: str | None,
    style: str,
) -> None:
    """Show pods with the label numapin.io/pin=true, and whether the pin took effect.

    \b
    VERDICT   Verified: placed, and the kernel's counters agree. Pending: too early.
              Ineffective, Drifted, Conflict, Unplaceable, Invalid: explain POD says
              why. NoSignal: nothing to judge by. Observing: mode Observe.
    EVIDENCE  Measured by hint faults, MeasuredPMU by hardware, ByPlacement: the
              kernel gave no samples.
    LOCAL     share of resident memory on the pin's NUMA nodes.
    CROSS/S   pages that NUMA balancing moved between sockets, per second.

    Exit status 1 if the pod that is named has no pin.
    """  # noqa: D301 (click wants the control character)
    if everywhere and (namespace or pod):
        raise click.UsageError("-A goes with neither a pod nor -n.")
    with connect(Where(kubeconfig, context)) as cluster:
        where = None if everywhere else namespace or cluster.namespace
        if pod is None:
            found = view.rows(cluster.pins(where), cluster.opted_in_pods(where))
        else:
            pin = cluster.pin(where or cluster.namespace, pod)
            found = [] if pin is None else [view.row(pin)]
    emit(
        style,
        {"pods": [r.model_dump(mode="json", by_alias=True) for r in found]},
        lambda: view.table(found, now=datetime.now(UTC), namespaces=everywhere),
    )
    if found:
        return
    if pod is not None:
        note(
            f"pod {pod} in namespace {where} has no pin; numapin explain {pod} -n {where} says why"
        )
        sys.exit(1)
    note(f"no pod {f'in namespace {where}' if where else 'anywhere'} has the label {PIN_SELECTOR}")
