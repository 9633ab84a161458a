"""An API server of a few canned answers, with agents behind its proxy."""

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml


@dataclass
class Api:
    """What it answers.

    Attributes:
        lists: path → objects.
        pages: agent's pod → its next pages; the last one stays.
        refuse: path → status and reason, instead.
        asked: paths, in order.
    """

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pages: dict[str, list[str]] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, url: str) -> tuple[int, str]:
        parts = urlsplit(url)
        path = unquote(parts.path)
        query = parse_qs(parts.query)
        selector = query.get("labelSelector", query.get("fieldSelector", [""]))[0]
        self.asked.append(f"{path} {selector}".strip())
        for part, (status, reason) in self.refuse.items():
            if part in path:
                return status, json.dumps({"kind": "Status", "message": reason})
        if path.endswith(("/proxy/metrics", "/portforward")):
            pages = self.pages[path.split("/pods/")[1].partition("/")[0].partition(":")[0]]
            return 200, pages.pop(0) if len(pages) > 1 else pages[0]
        found = self.lists.get(f"{path} {selector}", self.lists.get(path))
        if found is None:
            return 404, json.dumps({"kind": "Status", "message": f"there is no {path}"})
        return 200, json.dumps({"kind": "List", "metadata": {}, "items": found})


def forward(handler: BaseHTTPRequestHandler, page: bytes) -> None:
    """What a kubelet does with a port-forward: data on channel 0, errors on channel 1.

    RFC 6455, and pkg/kubelet/cri/streaming/portforward/websocket.go.
    """
    key = handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    handler.send_response(101)
    for name, value in (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()),
        ("Sec-WebSocket-Protocol", "v4.channel.k8s.io"),
    ):
        handler.send_header(name, value)
    handler.end_headers()

    def send(payload: bytes) -> None:
        handler.wfile.write(b"\x82\x7f" + struct.pack(">Q", len(payload)) + payload)

    port = int(parse_qs(urlsplit(handler.path).query)["ports"][0])
    for channel in (0, 1):
        send(bytes([channel]) + struct.pack("<H", port))
    if not page:
        send(b"\x01nobody listens there")
    else:
        _, length = handler.rfile.read(2)
        length &= 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", handler.rfile.read(2))
        mask = handler.rfile.read(4)
        masked = handler.rfile.read(length)
        request = bytes(b ^ mask[i % 4] for i, b in enumerate(masked))
        assert request.startswith(b"\x00GET /metrics HTTP/1.1\r\n"), request
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        send(b"\x00" + head.encode() + page)
    handler.rfile.read()  # until the client hangs up
    handler.close_connection = True


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def here(api, tmp_path) -> Iterator[tuple[str, str]]:
    """Options that name a cluster whose API server that is."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = api.answer(self.path)
            data = body.encode()
            if status == 200 and "/portforward" in self.path:
                forward(self, data)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield "--kubeconfig", str(path)
    server.shutdown()
    server.server_close()
    thread.join()
