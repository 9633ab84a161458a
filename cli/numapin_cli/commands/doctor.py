"""``numapin doctor``: what this node or this cluster lacks."""

import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from numapin_api.errors import ApiError
from numapin_cli.command import Command, cluster_options, output_option
from numapin_cli.connect import Where, configured, connect
from numapin_cli.doctor.findings import Finding, worst
from numapin_cli.output import emit_text, note
from numapin_cli.views import doctor as view


@click.command(
    cls=Command,
    examples=(
        ("doctor", "The cluster"),
        ("doctor --node", "This machine; needs no cluster"),
        ("doctor -o json | jq '.findings[] | select(.level != \"ok\")'", "What is not right"),
    ),
)
@click.option("--node", "this_node", is_flag=True, help="Look at this machine, at no cluster.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --node: directory that holds the machine's sys, proc, run and var.  [default: /]",
)
@click.option(
    "--kubelet-dir",
    type=click.Path(path_type=Path),
    help="With --node: the kubelet's directory below the root.  [default: /var/lib/kubelet]",
)
@cluster_options
@output_option
def command(  # noqa: PLR0913, PLR0917 (click passes each option)
    this_node: bool,
    root: Path | None,
    kubelet_dir: Path | None,
    kubeconfig: Path | None,
    context: str | None,
    style: str,
) -> None:
    """Say what a node or a cluster lacks, and what to do about it.

    One check a line: ok, unknown (it could not be looked at), warn (numapin works, but
    less well, or something may get in its way) or fail; below it what to do. Where no
    cluster is configured, this machine is looked at. It changes nothing.

    Exit status 1 if any check fails.
    """
    if not this_node and (root or kubelet_dir):
        raise click.UsageError("--root and --kubelet-dir go with --node only.")
    if this_node and (kubeconfig or context):
        raise click.UsageError("--node asks no cluster: leave --kubeconfig and --context out.")
    where = Where(kubeconfig, context)
    if not this_node and not configured(where):
        note("no cluster is configured: looking at this machine (--node)")
        this_node = True
    found = _node(root, kubelet_dir) if this_node else _cluster(where)
    data = {
        "scope": "node" if this_node else "cluster",
        "level": worst(found),
        "findings": [f.model_dump(mode="json", by_alias=True) for f in found],
    }
    emit_text(style, data, lambda: view.text(found, colour="NO_COLOR" not in os.environ))
    if worst(found) == "fail":
        sys.exit(1)


def _node(root: Path | None, kubelet_dir: Path | None) -> list[Finding]:
    from numapin_cli.doctor import node_checks, node_facts  # noqa: PLC0415 (--help needs neither)

    facts = node_facts.gather(
        root or Path("/"), kubelet_dir=kubelet_dir or Path("/var/lib/kubelet")
    )
    return node_checks.examine(facts)


def _cluster(where: Where) -> list[Finding]:
    from numapin_cli.doctor import cluster as asking  # noqa: PLC0415
    from numapin_cli.doctor import cluster_checks  # noqa: PLC0415
    from numapin_cli.doctor.cluster_facts import ClusterFacts  # noqa: PLC0415

    now, ours = datetime.now(UTC), version("numapin")
    try:
        with connect(where) as cluster:
            facts = asking.gather(cluster, now=now, client_version=ours)
    except ApiError as e:
        facts = ClusterFacts(now=now, client_version=ours, problem=str(e))
    return cluster_checks.examine(facts)
