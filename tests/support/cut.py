"""A way to the API server that can be cut, one way or both, and be healed.

As a load balancer does it, and worse than a cable: connections are still accepted, whatever is
sent is taken and held, and goes on its way when the cut is healed, even if who sent it has
ended meanwhile.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self


class Way:
    """A TCP proxy in a thread of its own.

    Args:
        port: where it leads to, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="way", daemon=True)
        self._requests, self._answers = asyncio.Event(), asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The API server, this way."""
        return f"https://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def cut(self, *, answers: bool = True) -> Iterator[None]:
        """Hold what is sent to the API server, until the end.

        Args:
            answers: hold also what it sends, watches included.
        """
        self._do(self._close(self._requests, *([self._answers] if answers else [])))
        try:
            yield
        finally:
            self._do(self._open())

    def _do(self, what) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=10)

    async def _start(self) -> None:
        await self._open()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> None:
        self._requests.set()
        self._answers.set()

    async def _close(self, *gates: asyncio.Event) -> None:
        for gate in gates:
            gate.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent: asyncio.Queue[bytes] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, sent))
            await self._requests.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                answered: asyncio.Queue[bytes] = asyncio.Queue()
                group.create_task(self._take(there, answered))
                # The way there stays open after the client's end: what it sent is to arrive.
                group.create_task(self._pass(sent, back, self._requests))
                await self._pass(answered, writer, self._answers)
                writer.close()
                await asyncio.Event().wait()
            finally:
                writer.close()
                back.close()

    @staticmethod
    async def _take(reader: asyncio.StreamReader, taken: asyncio.Queue[bytes]) -> None:
        # At once, for what lies in a socket is lost when the other end is killed.
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                taken.put_nowait(data)
        taken.put_nowait(b"")

    @staticmethod
    async def _pass(
        taken: asyncio.Queue[bytes], writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await taken.get():
                await gate.wait()
                writer.write(data)
                await writer.drain()
