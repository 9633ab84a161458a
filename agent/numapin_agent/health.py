"""One HTTP server for /metrics, /healthz and /readyz.

Healthy means that the reconcile loop lives; ready means that the NumaPins were received
and the NumaNode was written. An API server that is away makes no agent unhealthy: killing
it would help nobody. The server deliberately offers nothing else.
"""

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry

from numapin_agent.exposition import CONTENT_TYPE, page

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""What is wrong, for people; None when nothing is."""


MOST_PER_PEER = 8
"""Connections of one address at once. Any pod may reach this port, and each takes a thread;
the kubelet and Prometheus have addresses of their own, and a few connections."""
MOST = 64
"""Connections at once."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._peers: Counter[str] = Counter()
        super().__init__(address, handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401, ARG002
        """Whether there is room for one more; else the connection is closed at once."""
        with self._lock:
            return self._peers[client_address[0]] < MOST_PER_PEER and self._peers.total() < MOST

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Begin a thread; this one is the only that adds."""
        with self._lock:
            self._peers[client_address[0]] += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """One connection, from its beginning to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._peers[client_address[0]] -= 1
                # Addresses that are gone must not be kept.
                self._peers = +self._peers

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """A client that hung up or said nothing: the inherited traceback would fill the log."""
        log.debug("%s: %s", client_address[0], sys.exc_info()[1])


class _Quiet(WSGIRequestHandler):
    # A client that connects and says nothing must not hold a thread for ever.
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- inherited name
        log.debug(format, *args)


class HealthServer:
    """Serves until the process ends.

    Args:
        address: to listen on.
        port: to listen on; 0 takes a free one.
        registry: metrics.
        healthy: for /healthz.
        ready: for /readyz.

    Raises:
        OSError: the address can't be listened on.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        registry: CollectorRegistry,
        healthy: Check,
        ready: Check,
    ) -> None:
        checks = {"/healthz": healthy, "/readyz": ready}

        def app(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                return _answer(start, "200 OK", page(registry), CONTENT_TYPE)
            check = checks.get(path)
            if check is None:
                return _plain(start, "404 Not Found", "/metrics, /healthz and /readyz are here")
            problem = check()
            return _plain(
                start, "503 Service Unavailable" if problem else "200 OK", problem or "ok"
            )

        self._server = make_server(address, port, app, server_class=_Server, handler_class=_Quiet)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _plain(start: "StartResponse", status: str, text: str) -> Iterable[bytes]:
    return _answer(start, status, f"{text}\n".encode(), "text/plain; charset=utf-8")


def _answer(start: "StartResponse", status: str, body: bytes, kind: str) -> Iterable[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return (body,)
