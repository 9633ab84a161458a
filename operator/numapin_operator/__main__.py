"""``numapin-operator``: reads its flags, joins the parts, runs until told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import click
import kopf
from kopf._core.engines.peering import Identity
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from numapin_api.errors import NumapinError
from numapin_api.names import OPERATOR_MANAGER
from numapin_operator import handlers, logs
from numapin_operator.advertise.loop import Advertiser, KubeTopologies
from numapin_operator.config import API_RATE, Between, Config, LeaseConfig, load_policy, read_lease
from numapin_operator.informer import Informer
from numapin_operator.kube import KubeCluster, connect
from numapin_operator.leader.answering import Answering
from numapin_operator.leader.api import KubeLeases
from numapin_operator.leader.election import Election
from numapin_operator.metrics import Metrics, StoreCollector
from numapin_operator.reconcile import Reconciler
from numapin_operator.store import Store
from numapin_operator.traces.sweep import KubeTraces, Sweeper
from numapin_operator.writer import ApiWriter, Pace, through_kopf, while_allowed

LOST: Final = 75
"""Exit status of an operator that has lost the Lease: it is to be started again, to stand by."""

log = logging.getLogger(__name__)


async def serve(config: Config) -> None:
    """Serve metrics, and run the operator until a signal ends it, as soon as it leads.

    Raises:
        ApiError: there are no usable credentials.
        ClickException: a port is taken.
        LeaseLostError: the API server refuses what the holder of the Lease writes.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    with _listening("--metrics-port", config.metrics_port):
        server, thread = start_http_server(config.metrics_port, registry=registry)
    try:
        if config.lease is None:
            await operate(config, registry)
        else:
            await stand_by(config, config.lease, registry)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def stand_by(config: Config, asked: LeaseConfig, registry: CollectorRegistry) -> None:
    """Stand by, and run the operator once it leads.

    Args:
        config: the flags.
        asked: those about the Lease.
        registry: of metrics.

    Raises:
        ApiError: there are no usable credentials.
        ClickException: the port of the probe is taken.
        LeaseLostError: the API server refuses what the holder of the Lease writes.
    """
    election = Election(
        KubeLeases(KubeCluster(connect(config.kubeconfig)), asked),
        me=asked.me,
        lasting=asked.seconds,
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
    )
    answering = Answering(config.liveness_port)
    # As process 1 of a container it would not hear of them; kopf puts its own in their place.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
    try:
        with _listening("--liveness-port", config.liveness_port):
            await answering.start()
        await election.during(
            lambda: operate(config, registry, leads=election.leads, synced=answering.stop),
            lost=_end,
        )
    except asyncio.CancelledError:
        log.info("ended while it stood by")
    finally:
        await answering.stop()


def _end(because: str) -> NoReturn:
    """End at once: kopf would take seconds to stop, in which others may lead."""
    log.error("ends, for the Lease is lost", extra={"because": because})
    logging.shutdown()
    os._exit(LOST)


@contextlib.contextmanager
def _listening(flag: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = f"{flag} {port}: can't listen there: {error.strerror}"
        raise click.ClickException(said) from error


async def operate(
    config: Config,
    registry: CollectorRegistry,
    *,
    leads: Callable[[], bool] = lambda: True,
    synced: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Plan and judge until a signal ends it.

    Args:
        config: the flags.
        registry: of metrics.
        leads: whether it may still write.
        synced: done once everything is known.

    Raises:
        ApiError: there are no usable credentials.
    """
    settings = handlers.settings()
    cluster = KubeCluster(connect(config.kubeconfig))
    store = Store()
    registry.register(StoreCollector(store))
    metrics = Metrics(registry)
    writer = ApiWriter(while_allowed(through_kopf(settings), leads), Pace(config.api_rate))
    reconciler = Reconciler(
        store,
        writer,
        default=config.default,
        metrics=metrics,
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
    )
    informer = Informer(store, cluster, reconciler, metrics=metrics)
    advertiser = Advertiser(
        store,
        KubeTopologies(cluster, writer),
        failed=metrics.errors.labels(where="topology").inc,
    )
    sweeper = Sweeper(
        KubeTraces(cluster),
        now=lambda: datetime.now(UTC),
        failed=metrics.errors.labels(where="traces").inc,
    )
    await kopf.operator(
        registry=handlers.build(
            config,
            informer,
            reconciler,
            kopfs=settings,
            clock=time.monotonic,
            synced=synced,
            beside=(sweeper.run, *([advertiser.run] if config.publish_topology else ())),
        ),
        settings=settings,
        memories=handlers.Forgetful(),
        # Else kopf asks for the user's name, which a container's bare uid has none of.
        identity=Identity(OPERATOR_MANAGER),
        standalone=True,
        clusterwide=True,
        liveness_endpoint=f"http://0.0.0.0:{config.liveness_port}/healthz",
    )


@click.command()
@click.option(
    "--default-policy",
    envvar="NUMAPIN_DEFAULT_POLICY",
    show_envvar=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML file with the NumaPolicySpec of pods that match no NumaPolicy.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Without it, the pod's service account is used.",
)
@click.option(
    "--liveness-port",
    envvar="NUMAPIN_LIVENESS_PORT",
    show_envvar=True,
    type=Between(1, 65535, "port"),
    default=8080,
    show_default=True,
)
@click.option(
    "--metrics-port",
    envvar="NUMAPIN_METRICS_PORT",
    show_envvar=True,
    type=Between(1, 65535, "port"),
    default=8081,
    show_default=True,
)
@click.option(
    "--api-rate",
    envvar="NUMAPIN_API_RATE",
    show_envvar=True,
    type=Between(1, 10000, "number"),
    default=API_RATE,
    show_default=True,
    help="Most API writes a second.",
)
@click.option(
    "--resync",
    envvar="NUMAPIN_RESYNC",
    show_envvar=True,
    type=Between(1, 86400, "number"),
    default=300.0,
    show_default=True,
    help="Seconds between comparisons of what was watched with what is there.",
)
@click.option(
    "--publish-topology/--no-publish-topology",
    envvar="NUMAPIN_PUBLISH_TOPOLOGY",
    show_envvar=True,
    default=False,
    show_default=True,
    help="Write what is left of each socket to NodeResourceTopology objects, for schedulers.",
)
@click.option(
    "--lease",
    envvar="NUMAPIN_LEASE",
    show_envvar=True,
    default="",
    metavar="NAMESPACE/NAME",
    help="Stand by until this Lease can be had. Without it, no other operator may run.",
)
@click.option(
    "--pod-name",
    envvar="NUMAPIN_POD_NAME",
    show_envvar=True,
    default="",
    help="Of the pod that the operator runs in; needed with --lease.",
)
@click.option(
    "--lease-seconds",
    envvar="NUMAPIN_LEASE_SECONDS",
    show_envvar=True,
    type=Between(2, 3600, "whole number"),
    default=15,
    show_default=True,
    help="How long the Lease lasts without being renewed.",
)
@click.option(
    "--log-format",
    envvar="NUMAPIN_LOG_FORMAT",
    show_envvar=True,
    type=click.Choice(["json", "plain"]),
    default="json",
    show_default=True,
)
@click.option(
    "--log-level",
    envvar="NUMAPIN_LOG_LEVEL",
    show_envvar=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@click.version_option(package_name="numapin")
def main(  # noqa: PLR0913 (one per flag)
    *,
    default_policy: Path | None,
    kubeconfig: str | None,
    liveness_port: float,
    metrics_port: float,
    api_rate: float,
    resync: float,
    publish_topology: bool,
    lease: str,
    pod_name: str,
    lease_seconds: float,
    log_format: Literal["json", "plain"],
    log_level: str,
) -> None:
    """Give every opted-in pod a socket, and judge whether it worked."""
    if liveness_port == metrics_port:
        raise click.BadParameter(
            f"{metrics_port:.0f} is --liveness-port already; allowed: any other port",
            param_hint="--metrics-port",
        )
    config = Config(
        default=load_policy(default_policy),
        kubeconfig=kubeconfig,
        liveness_port=int(liveness_port),
        metrics_port=int(metrics_port),
        api_rate=api_rate,
        resync_seconds=resync,
        publish_topology=publish_topology,
        lease=read_lease(lease, pod_name, lease_seconds),
    )
    logs.set_up(log_format, log_level)
    try:
        asyncio.run(serve(config))
    except NumapinError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
