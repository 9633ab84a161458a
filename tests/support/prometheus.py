"""Prometheus and promtool, built by the lab, as tests run them."""

import json
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from support.wait import until

from numapin_lab import ports, prometheus


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program."""
    return prometheus.ensure() / "promtool"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build both before the first test, whose time limit that would exceed."""
    fixtures = {name for i in session.items for name in getattr(i, "fixturenames", ())}
    if fixtures & {"promtool", "fed"} and not session.config.option.collectonly:
        prometheus.ensure()


@dataclass(frozen=True)
class Server:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; fails the test with Prometheus' own words."""
        answer = self._get("query", {"query": expression})
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def label_values(self, metric: str, label: str) -> set[str]:
        """What a dashboard's variable offers."""
        answer = self._get(f"label/{label}/values", {"match[]": metric})
        return set(answer["data"])

    def _get(self, path: str, asked: Mapping[str, str]) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        answer = urllib3.request("GET", url, timeout=10.0, retries=False)
        read: dict[str, Any] = json.loads(answer.data)
        assert read["status"] == "success", (asked, read)
        return read


@contextmanager
def running(scratch: Path, scrapes: list[dict[str, Any]]) -> Iterator[Server]:
    """Prometheus on a free port, until the block ends.

    Args:
        scratch: an empty directory.
        scrapes: its scrape_configs.
    """
    port = ports.choose(("prometheus",))["prometheus"]
    config = scratch / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"scrape_configs": scrapes}))
    log = scratch / "prometheus.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                prometheus.ensure() / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={scratch / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=file,
            stdout=file,
        )
    server = Server(f"http://127.0.0.1:{port}")

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            answer = urllib3.request("GET", f"{server.url}/-/ready", timeout=5.0, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200

    try:
        until(ready, what=f"Prometheus to be ready; its log: {log}", seconds=30)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
