"""The kubelet's probes of the operator, over HTTP: 200 while it lives, 500 when it goes blind."""

import asyncio
from dataclasses import dataclass, field

import aiohttp
import kopf
import pytest
from kopf._core.engines.probing import health_reporter

from numapin_api.policy import NumaPolicySpec
from numapin_lab import ports
from numapin_operator import handlers
from numapin_operator.config import Config
from numapin_operator.store import Kind


@dataclass
class Eyes:
    """What the informer knows of its watches."""

    unheard: tuple[Kind, ...] = ()
    stale: tuple[Kind, ...] = ()


@dataclass
class Loop:
    """When the reconcile loop last showed life, in seconds."""

    last_tick: float = 0.0
    now: float = field(default=0.0)


async def status(eyes: Eyes, loop: Loop) -> int:
    """What a probe gets."""
    registry = handlers.build(
        Config(default=NumaPolicySpec()),
        eyes,
        loop,
        kopfs=handlers.settings(),
        clock=lambda: loop.now,
    )
    port, ready = ports.choose(("health",))["health"], asyncio.Event()
    server = asyncio.create_task(
        health_reporter(
            f"http://127.0.0.1:{port}/healthz",
            memo=kopf.Memo(),
            indices={},
            registry=registry,
            settings=handlers.settings(),
            ready_flag=ready,
        )
    )
    try:
        await ready.wait()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/healthz") as answer,
        ):
            return answer.status
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


@pytest.mark.parametrize(
    ("eyes", "loop", "wanted"),
    [
        (Eyes(), Loop(), 200),
        (Eyes(), Loop(now=119.0), 200),
        (Eyes(stale=("pods",)), Loop(), 500),
        (Eyes(unheard=("numapins",)), Loop(), 500),
        (Eyes(), Loop(now=121.0), 500),
    ],
    ids=["lives", "slow", "stale watch", "watch never began", "stuck loop"],
)
def test_probe_fails_when_a_watch_is_stale_or_the_loop_is_stuck(eyes, loop, wanted):
    assert asyncio.run(status(eyes, loop)) == wanted
