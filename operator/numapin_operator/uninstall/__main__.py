"""``numapin-uninstall``: started by the chart's pre-delete hook, in the operator's image."""

import time

import click

from numapin_api.errors import NumapinError
from numapin_operator.kube import KubeCluster, connect
from numapin_operator.uninstall.api import KubeUninstall, Release
from numapin_operator.uninstall.run import Uninstall


@click.command(context_settings={"max_content_width": 100})
@click.option("--namespace", required=True, help="Namespace of the release.")
@click.option("--deployment", required=True, help="The operator's.")
@click.option("--daemonset", required=True, help="The agents'.")
@click.option("--operator-pods", required=True, help="Label selector.")
@click.option("--agent-pods", required=True, help="Label selector.")
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    type=click.Path(exists=True, dir_okay=False),
    help="Without it, the pod's service account is used.",
)
def main(  # noqa: PLR0913 (one per flag)
    *,
    namespace: str,
    deployment: str,
    daemonset: str,
    operator_pods: str,
    agent_pods: str,
    kubeconfig: str | None,
) -> None:
    """End the operator, have every pinned pod's cpuset given back, end the agents.

    Ends with status 0 also when a node could not be reached: it is named, and an uninstall
    must not wait for a machine that may never come back. Status 1: the API server could
    not be reached, or refused.
    """
    release = Release(
        namespace=namespace,
        workloads={"operator": deployment, "agent": daemonset},
        selectors={"operator": operator_pods, "agent": agent_pods},
    )
    try:
        cluster = KubeCluster(connect(kubeconfig))
        Uninstall(
            KubeUninstall(cluster, release),
            say=lambda line: click.echo(f"numapin: {line}"),
            clock=time.monotonic,
            sleep=time.sleep,
        ).run()
    except NumapinError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
