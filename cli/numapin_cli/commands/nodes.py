"""``numapin nodes``: what the agents say of their machines."""

from pathlib import Path

import click

from numapin_api.errors import ApiError
from numapin_cli.command import Command, cluster_options, output_option
from numapin_cli.connect import Where, connect
from numapin_cli.output import emit, note
from numapin_cli.views import nodes as view


@click.command(
    cls=Command,
    examples=(
        ("nodes", "All nodes"),
        (
            "nodes -o json | jq '.nodes[] | select(.ready | not) | .name'",
            "Nodes without a ready agent",
        ),
    ),
)
@cluster_options
@output_option
def command(kubeconfig: Path | None, context: str | None, style: str) -> None:
    """Show what each Kubernetes node is made of and can do.

    A line for each NUMA node: the socket that holds it, its CPUs, and how much of its
    memory can still be had without swapping. SIGNALS says how kernel counters are had,
    best first: fentry, kprobe, rawTracepoint, cgroup, none; remarks below give reasons.

    A node with a dash under READY has no agent.
    """
    with connect(Where(kubeconfig, context)) as cluster:
        numa_nodes = cluster.numa_nodes()
        try:
            names = cluster.node_names()
        except ApiError as e:
            names = []
            note(f"nodes without an agent are left out, because nodes can't be listed: {e}")
    found = view.views(numa_nodes, names)
    emit(
        style,
        {"nodes": [n.model_dump(mode="json", by_alias=True) for n in found]},
        lambda: view.table(found),
    )
