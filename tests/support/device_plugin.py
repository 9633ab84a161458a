"""A device plugin for a real kubelet: devices that are nothing but names on one NUMA node.

Runs in a pod of the agent's image, as ``python -c`` with this file's text: it has Python and h2,
and an emulated node need not unpack anything more. It speaks just enough of gRPC for
k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1, and is tested with the real gRPC library.
"""

import contextlib
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events

from numapin_agent.kubelet.call import connect
from numapin_agent.kubelet.protobuf import fields

KUBELET_SECONDS = 60.0
DEVICES = 2


def data(field: int, value: bytes) -> bytes:
    """A field that is bytes; nothing here is longer than 127."""
    return bytes([field << 3 | 2, len(value)]) + value


def devices(resource: str, node: int) -> bytes:
    """ListAndWatchResponse."""
    topology = data(3, data(1, bytes([1 << 3, node])))
    return b"".join(
        data(1, data(1, f"{resource}-{i}".encode()) + data(2, b"Healthy") + topology)
        for i in range(DEVICES)
    )


def allocated(request: bytes) -> bytes:
    """AllocateResponse: nothing for each container of the AllocateRequest."""
    return b"".join(data(1, b"") for number, _ in fields(memoryview(request)) if number == 1)


def register(kubelet: Path, *, endpoint: str, resource: str) -> None:
    """Tell the kubelet of the plugin: RegisterRequest."""
    body = data(1, b"v1beta1") + data(2, endpoint.encode()) + data(3, resource.encode())
    with connect(kubelet, seconds=KUBELET_SECONDS) as connection:
        connection.call("/v1beta1.Registration/Register", body)


class Plugin:
    """Serves one resource.

    Args:
        path: its socket.
        resource: like example.org/nic.
        node: the NUMA node of its devices.
    """

    def __init__(self, path: Path, *, resource: str, node: int) -> None:
        self._devices = devices(resource.rpartition("/")[2], node)
        path.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()

    def serve(self) -> None:
        """Until the process ends."""
        while True:
            stream, _ = self._server.accept()
            threading.Thread(target=self._answer_all, args=(stream,), daemon=True).start()

    def _answer_all(self, stream: socket.socket) -> None:
        # Whoever has heard enough goes, also in the middle of our words.
        with stream, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._talk(stream)

    def _talk(self, stream: socket.socket) -> None:
        link = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        link.initiate_connection()
        methods: dict[int, str] = {}
        bodies: dict[int, bytes] = {}
        while True:
            stream.sendall(link.data_to_send())
            received = stream.recv(1 << 16)
            if not received:
                return
            for event in link.receive_data(received):
                self._take(link, event, methods, bodies)

    def _take(self, link: Any, event: Any, methods: Any, bodies: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                methods[event.stream_id] = dict(event.headers)[":path"].rpartition("/")[2]
                bodies[event.stream_id] = b""
            case h2.events.DataReceived():
                bodies[event.stream_id] += event.data
                link.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                answer = self._answer(methods[event.stream_id], bodies[event.stream_id][5:])
                link.send_headers(
                    event.stream_id, [(":status", "200"), ("content-type", "application/grpc")]
                )
                link.send_data(event.stream_id, struct.pack(">BI", 0, len(answer)) + answer)
                # The kubelet takes a list that ends for a plugin that is gone.
                if methods[event.stream_id] != "ListAndWatch":
                    link.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)

    def _answer(self, method: str, request: bytes) -> bytes:
        match method:
            case "ListAndWatch":
                return self._devices
            case "Allocate":
                return allocated(request)
            case _:  # GetDevicePluginOptions: none of them
                return b""


def main(directory: str, resource: str, node: str) -> None:
    """Serve in the kubelet's directory for plugins.

    Args:
        directory: /var/lib/kubelet/device-plugins.
        resource: like example.org/nic.
        node: a NUMA node.
    """
    endpoint = f"{resource.replace('/', '-')}.sock"
    plugin = Plugin(Path(directory) / endpoint, resource=resource, node=int(node))
    threading.Thread(target=plugin.serve, daemon=True).start()
    register(Path(directory) / "kubelet.sock", endpoint=endpoint, resource=resource)
    print("registered", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
