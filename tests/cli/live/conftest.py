"""An API server of a few canned answers, with agents behind its proxy."""

import json
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
        if path.endswith("/proxy/metrics"):
            pages = self.pages[path.split("/")[-3].partition(":")[0]]
            return 200, pages.pop(0) if len(pages) > 1 else pages[0]
        found = self.lists.get(f"{path} {selector}", self.lists.get(path))
        if found is None:
            return 404, json.dumps({"kind": "Status", "message": f"there is no {path}"})
        return 200, json.dumps({"kind": "List", "metadata": {}, "items": found})


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
