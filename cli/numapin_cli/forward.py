"""One page of a pod by port-forward: through the API server and the pod's own kubelet.

For clusters whose API server can't reach pods by network, or is kept from it by a
NetworkPolicy: the kubelet connects from within the pod's network namespace. A connection for
each page; it deliberately keeps none open.
"""

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final

from numapin_api.errors import ApiError
from numapin_cli.failures import ForbiddenError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

SECONDS: Final = 10
"""Between bytes of the answer."""
_KINDS: Final = {403: ForbiddenError, 404: NotFoundError}


def page(configuration: "Configuration", *, namespace: str, name: str, port: int, path: str) -> str:
    """What a pod itself answers; may be called by several threads.

    Args:
        configuration: of the client; the client itself can't be shared, since the library
            exchanges a method of it for the time of the call.
        namespace: of the pod.
        name: of the pod.
        port: that it listens on.
        path: without the first slash.

    Raises:
        ApiError: it can't be had.
    """
    from kubernetes.client import ApiClient, CoreV1Api  # noqa: PLC0415 (a quarter of a second)
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
    from kubernetes.stream import portforward  # noqa: PLC0415

    what = f"port-forward to {namespace}/{name}"
    with ApiClient(configuration) as client:
        try:
            forward = portforward(
                CoreV1Api(client).connect_get_namespaced_pod_portforward,
                name,
                namespace,
                ports=str(port),
            )
        except ApiException as e:
            # The library keeps the status of a refused handshake in the cause only.
            status = getattr(e.__context__, "status_code", None)
            kind = _KINDS.get(status or 0, UnavailableError)
            raise kind(f"{what} was refused{f' with {status}' if status else f': {e}'}") from e
    try:
        return _get(forward.socket(port), path)
    except (OSError, HTTPException) as e:
        said = (forward.error(port) or str(e) or type(e).__name__).strip()
        raise UnavailableError(f"{what}, port {port}: {said}") from e
    finally:
        forward.close()


def _get(connected: object, path: str) -> str:
    connection = HTTPConnection("localhost", timeout=SECONDS)
    connection.sock = connected
    connected.settimeout(SECONDS)  # type: ignore[attr-defined]  # the library wraps a socket
    connection.request("GET", f"/{path}", headers={"Connection": "close"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ApiError(f"the agent answered {answer.status} when asked for /{path}")
    return body.decode()
