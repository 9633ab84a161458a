"""One HTTP server for /metrics, /healthz and /readyz.

Healthy means that the reconcile loop lives; ready means that the NumaPins were received
and the NumaNode was written. An API server that is away makes no agent unhealthy: killing
it would help nobody. The server deliberately offers nothing else.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""What is wrong, for people; None when nothing is."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


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
        metrics: WSGIApplication = make_wsgi_app(registry)
        checks = {"/healthz": healthy, "/readyz": ready}

        def app(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                return metrics(environ, start)
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
    body = f"{text}\n".encode()
    start(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    )
    return (body,)
