"""Unary gRPC calls over a Unix socket, on h2.

The few rules of gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md) that a caller needs who sends one
message and wants one back: headers, a length before each message, the status in the trailers.
It deliberately has no retries, streams, compression or names: the socket is the kubelet's.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from numapin_api.errors import KubeletError

MAX_BYTES = 4 << 20
"""Of an answer: what gRPC itself allows unless told otherwise. 110 pods make some 50 KB."""
_CHUNK = 1 << 16
_PREFIX = struct.Struct(">BI")
"""Whether it is compressed, and the length: before each message."""


@dataclass(slots=True)
class _Answer:
    """What came so far."""

    body: bytearray = field(default_factory=bytearray)
    status: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    @property
    def size(self) -> int:
        """Bytes that came or were announced, whichever is more."""
        announced = 0
        if len(self.body) >= _PREFIX.size:
            _, announced = _PREFIX.unpack_from(self.body)
        return max(int(announced), len(self.body) - _PREFIX.size)

    def message(self, method: str) -> bytes:
        """The one message, once it has ended.

        Raises:
            KubeletError: the status is not 0, or the message is not whole.
        """
        code = self.status.get("grpc-status", "")
        if code != "0":
            said = self.status.get("grpc-message") or "no reason given"
            raise KubeletError(f"{method}: gRPC status {code or 'missing'}, {said[:200]}")
        if len(self.body) < _PREFIX.size:
            raise KubeletError(f"{method}: the answer holds no message")
        compressed, size = _PREFIX.unpack_from(self.body)
        if compressed or size != len(self.body) - _PREFIX.size:
            raise KubeletError(
                f"{method}: a message of {size} bytes (compressed: {compressed}) was announced, "
                f"{len(self.body) - _PREFIX.size} came; allowed is one, not compressed"
            )
        return bytes(self.body[_PREFIX.size :])


class Connection:
    """One connection for some calls, one after the other.

    Args:
        stream: connected.
        deadline: monotonic seconds when all must be over.
    """

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                # Some servers end a grpc-message with a blank, which HTTP does not allow.
                validate_inbound_headers=False,
            )
        )
        self._h2.initiate_connection()

    def call(self, method: str, request: bytes = b"") -> bytes:
        """Send one message, and wait for the one that answers it.

        Args:
            method: like ``/v1.PodResourcesLister/List``.
            request: the message.

        Raises:
            KubeletError: refused, cut off, too late, too big or not gRPC.
        """
        left = max(1, int((self._deadline - time.monotonic()) * 1000))
        try:
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(
                stream_id,
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", method),
                    (":authority", "localhost"),
                    ("content-type", "application/grpc"),
                    ("te", "trailers"),
                    ("grpc-timeout", f"{left}m"),
                    ("user-agent", "numapin-agent"),
                ],
            )
            self._h2.send_data(stream_id, _PREFIX.pack(0, len(request)) + request, end_stream=True)
            answer = _Answer()
            while not answer.ended:
                self._send()
                for event in self._receive(method):
                    self._take(answer, event, method)
            self._send()
        except TimeoutError as e:
            raise KubeletError(f"{method}: no answer in time") from e
        except (OSError, h2.exceptions.H2Error, ValueError) as e:
            raise KubeletError(f"{method}: {type(e).__name__}: {e}") from e
        return answer.message(method)

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._stream.settimeout(left)

    def _send(self) -> None:
        self._wait()
        self._stream.sendall(self._h2.data_to_send())

    def _receive(self, method: str) -> list[h2.events.Event]:
        self._wait()
        data = self._stream.recv(_CHUNK)
        if not data:
            raise KubeletError(f"{method}: the kubelet closed the connection")
        return self._h2.receive_data(data)

    def _take(self, answer: _Answer, event: h2.events.Event, method: str) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                answer.status |= {str(k): str(v) for k, v in event.headers}
            case h2.events.DataReceived():
                answer.body += event.data
                if answer.size > MAX_BYTES:
                    raise KubeletError(
                        f"{method}: an answer of {answer.size} bytes; allowed are {MAX_BYTES}"
                    )
                # So that the server may send more: the window counts padding, too.
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise KubeletError(f"{method}: the kubelet ended the call ({event.error_code!r})")
            case _:
                pass


@contextmanager
def connect(path: Path, *, seconds: float) -> Iterator[Connection]:
    """A connection to the gRPC server on a Unix socket.

    Args:
        path: the socket.
        seconds: for connecting and all calls together.

    Raises:
        KubeletError: nobody listens there.
    """
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(seconds)
        try:
            stream.connect(str(path))
        except FileNotFoundError as e:
            raise KubeletError(f"there is no {path}") from e
        except OSError as e:
            raise KubeletError(f"{path} can't be connected to: {e.strerror or e}") from e
        yield Connection(stream, deadline)
