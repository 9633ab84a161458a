"""``python3 -m numapin_operator.selftest``: flags, signals and exit status of ``helm test``."""

import signal
import sys
import time
from types import FrameType

import click

from numapin_api.errors import NumapinError
from numapin_operator.kube import connect
from numapin_operator.selftest import trial
from numapin_operator.selftest.kube import KubeApi


def _told_to_end(number: int, _frame: FrameType | None) -> None:
    # As an exception, so that the pod is deleted on the way out.
    sys.exit(128 + number)


@click.command(context_settings={"auto_envvar_prefix": "NUMAPIN"})
@click.option("--namespace", required=True, help="Where this pod runs.")
@click.option("--pod", required=True, help="Name of this pod.")
@click.option(
    "--timeout",
    "seconds",
    type=click.IntRange(30, 3600),
    default=240,
    show_default=True,
    help="Seconds to wait for the verdict.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    type=click.Path(exists=True, dir_okay=False),
    help="Without it, the pod's service account is used.",
)
def main(*, namespace: str, pod: str, seconds: int, kubeconfig: str | None) -> None:
    """Pin a pod and wait until the verdict is there; exit status 1 when it is not good."""
    signal.signal(signal.SIGTERM, _told_to_end)
    try:
        with connect(kubeconfig) as api:
            trial.run(
                KubeApi(api, namespace=namespace, name=pod),
                seconds=seconds,
                say=click.echo,
                clock=time.monotonic,
                sleep=time.sleep,
            )
    except NumapinError as error:
        raise click.ClickException(str(error)) from error
    click.echo("passed")


if __name__ == "__main__":
    main()
