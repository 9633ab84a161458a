"""Answers the liveness probe of an operator that stands by: kopf does so only once it runs."""

import asyncio

from aiohttp import web


class Answering:
    """Answers every request for ``/healthz`` with 200 between ``start`` and ``stop``.

    Args:
        port: to listen on, at all addresses.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        application = web.Application()
        application.add_routes([web.get("/healthz", self._answer)])
        self._runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()

    async def stop(self) -> None:
        """Leave the port to others; once is enough."""
        if self._runner is not None:
            await asyncio.shield(self._runner.cleanup())
            self._runner = None

    @staticmethod
    async def _answer(request: web.Request) -> web.Response:
        del request
        return web.json_response({"lease": "stands by"})
