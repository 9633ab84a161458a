"""kopf's edge: watches, probe, start and stop. Every event only marks something dirty.

kopf never retries ``on.event`` and must not write to pods, so these handlers do nothing
that can fail, nothing that takes time, and use neither annotations nor finalizers. Pods and
pins don't come through handlers, but from ``stream``.
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, cast

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from numapin_api.errors import NumapinError
from numapin_api.names import GROUP, OPERATOR_MANAGER, PIN_SELECTOR, VERSION
from numapin_operator.config import Config
from numapin_operator.informer import Informer
from numapin_operator.kube import connect
from numapin_operator.reconcile import Reconciler
from numapin_operator.store import Kind
from numapin_operator.stream import STREAMED, listen

STUCK_SECONDS: Final = 120.0
"""API calls time out after 30 s; a loop that shows no life for so long is stuck."""

WATCHED: Final[dict[Kind, tuple[str, ...]]] = {
    "namespaces": ("v1", "namespaces"),
    "numanodes": (GROUP, VERSION, "numanodes"),
    "numapolicies": (GROUP, VERSION, "numapolicies"),
}

log = logging.getLogger(__name__)


class Backoffs:
    """Seconds between kopf's attempts to reach the API server: it never gives up.

    An operator that ends while the API server restarts would only be started again.
    """

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 15.0)


class Forgetful(ResourceMemories):
    """Keeps nothing of the objects that kopf has shown us.

    kopf remembers every object it has seen, some 3 KB each, for daemons, timers and retries.
    There are none here.
    """

    async def recall(
        self,
        raw_body: kopf.RawBody,
        *,
        memobase: Any | None = None,  # noqa: ANN401 (kopf's own)
        noticed_by_listing: bool = False,
        ephemeral: bool = False,
    ) -> ResourceMemory:
        """A memory for this one event."""
        del ephemeral
        return await super().recall(
            raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True
        )


def settings() -> kopf.OperatorSettings:
    """The settings of kopf: selectors as tuples, for the key ``"v1/pods"`` matches nothing."""
    made = kopf.OperatorSettings()
    made.watching.label_selectors["v1", "pods"] = PIN_SELECTOR
    made.watching.chunk_size = 500
    # kopf keeps one worker and one body per recent object until this is over.
    made.queueing.idle_timeout = 0.5
    made.queueing.exit_timeout = 1.0
    made.networking.error_backoffs = Backoffs()
    made.peering.standalone = True
    made.scanning.disabled = True
    made.posting.enabled = False
    made.posting.reporting_component = OPERATOR_MANAGER
    made.process.ultimate_exiting_timeout = 10
    return made


def credentials(kubeconfig: str | None) -> kopf.ConnectionInfo:
    """How kopf reaches the API server: as our own client does, read anew each time.

    kopf's own way in a cluster asks for the name kubernetes.default.svc, which takes a
    cluster DNS; the environment's KUBERNETES_SERVICE_HOST does not.

    Args:
        kubeconfig: path; None inside a cluster.

    Raises:
        kopf.LoginError: there are no usable credentials.
    """
    try:
        found = connect(kubeconfig).configuration
    except NumapinError as error:
        raise kopf.LoginError(str(error)) from error
    header = found.get_api_key_with_prefix("BearerToken") or found.get_api_key_with_prefix(
        "authorization"
    )
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        username=found.username or None,
        password=found.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
    )


def probe_loop(*, silent: float, ended: Sequence[str]) -> str:
    """Whether the loop lives.

    Args:
        silent: seconds since it last showed life.
        ended: names of background tasks that are over.

    Raises:
        kopf.PermanentError: it does not. Any other exception would be retried within the
            request, which then hangs instead of failing.
    """
    if ended:
        raise kopf.PermanentError(f"ended: {', '.join(ended)}")
    if silent > STUCK_SECONDS:
        raise kopf.PermanentError(f"the reconcile loop has been stuck for {silent:.0f} s")
    return "runs"


def probe_watches(*, unheard: Sequence[Kind], stale: Sequence[Kind]) -> str:
    """Whether the watches tell what happens.

    Args:
        unheard: kinds that have objects, but of which no watch has told anything yet.
        stale: kinds whose watch was behind in several comparisons in a row.

    Raises:
        kopf.PermanentError: one does not; only a restart makes a new watch.
    """
    if unheard:
        raise kopf.PermanentError(f"watches have not begun: {', '.join(unheard)}")
    if stale:
        raise kopf.PermanentError(f"watches are dead: {', '.join(stale)}")
    return "fresh"


def spare_the_collector() -> None:
    """Have Python's cycle collector leave alone what is known now.

    None of it is in a cycle, and it would look at each object of 200,000 records time and
    again, for half a second in which no pod gets its pin.
    """
    gc.collect()
    gc.freeze()


def _watch(registry: kopf.OperatorRegistry, kind: Kind, informer: Informer) -> None:
    @kopf.on.event(*WATCHED[kind], id=kind, registry=registry)
    async def heard(event: kopf.RawEvent, **_: object) -> None:
        informer.heard(kind, cast("dict[str, Any]", event))


def build(  # noqa: PLR0913 -- put together once, all but three by keyword
    config: Config,
    informer: Informer,
    reconciler: Reconciler,
    *,
    kopfs: kopf.OperatorSettings,
    clock: Callable[[], float],
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    synced: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> kopf.OperatorRegistry:
    """All handlers, in a registry of their own.

    Args:
        config: for credentials and intervals.
        informer: told of events.
        reconciler: run beside kopf.
        kopfs: the settings that kopf runs with.
        clock: monotonic seconds.
        beside: what else runs in the background once everything is known.
        synced: done once everything is known, before kopf answers the liveness probe.
    """
    registry = kopf.OperatorRegistry()
    background: list[asyncio.Task[None]] = []
    for kind in WATCHED:
        _watch(registry, kind, informer)

    @kopf.on.login(registry=registry, id="credentials")
    def login(**_: object) -> kopf.ConnectionInfo:
        return credentials(config.kubeconfig)

    @kopf.on.startup(registry=registry, id="sync")
    async def start(**_: object) -> None:
        try:
            await informer.sync()
        except NumapinError as error:
            raise kopf.TemporaryError(str(error), delay=2) from error
        spare_the_collector()
        log.info("synced")
        if synced is not None:
            await synced()
        background.extend(
            asyncio.create_task(listen(kind, informer.heard, settings=kopfs), name=f"watch {kind}")
            for kind in STREAMED
        )
        background.append(asyncio.create_task(reconciler.run(), name="reconciler"))
        background.append(
            asyncio.create_task(
                informer.run(config.resync_seconds, compared=spare_the_collector),
                name="comparisons",
            )
        )
        background.extend(asyncio.create_task(run(), name=run.__qualname__) for run in beside)

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: object) -> None:
        for task in background:
            task.cancel()
        for task in background:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @kopf.on.probe(registry=registry, id="loop")
    def loop(**_: object) -> str:
        ended = [task.get_name() for task in background if task.done()]
        return probe_loop(silent=clock() - reconciler.last_tick, ended=ended)

    @kopf.on.probe(registry=registry, id="watches")
    def watches(**_: object) -> str:
        return probe_watches(unheard=informer.unheard, stale=informer.stale)

    return registry
