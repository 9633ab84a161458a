"""A Prometheus for as long as somebody looks: what it scrapes is given, and gone with the block.

Knows nothing of numapin's metrics. For the dashboard's tests and for the demo's picture of it.
"""

import json
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tenacity
import urllib3
import yaml

from numapin_api.errors import LabError
from numapin_lab import ports, prometheus

_READY_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Server:
    """A running Prometheus.

    Attributes:
        url: of its root.
    """

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query.

        Raises:
            LabError: in Prometheus' own words.
        """
        return self._series("query", {"query": expression})

    def query_range(
        self, expression: str, *, begin: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """The series of a query over a stretch of time.

        Args:
            expression: to evaluate.
            begin: seconds since the epoch.
            end: the same.
            step: seconds between two evaluations.

        Raises:
            LabError: in Prometheus' own words.
        """
        asked = {"query": expression, "start": f"{begin}", "end": f"{end}", "step": f"{step}"}
        return self._series("query_range", asked)

    def label_values(self, metric: str, label: str) -> set[str]:
        """What a dashboard's variable offers."""
        return set(self._get(f"label/{label}/values", {"match[]": metric})["data"])

    def _series(self, path: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        return list(self._get(path, asked)["data"]["result"])

    def _get(self, path: str, asked: Mapping[str, str]) -> Mapping[str, Any]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        answer = urllib3.request("GET", url, timeout=10.0, retries=False)
        read: dict[str, Any] = json.loads(answer.data)
        if read["status"] != "success":
            raise LabError(f"Prometheus refuses {dict(asked)}: {read.get('error')}")
        return read


def job(name: str, target: str, *, seconds: int) -> dict[str, Any]:
    """A scrape_config of one target.

    Args:
        name: of the job, and of the instance.
        target: HOST:PORT.
        seconds: between two scrapes.
    """
    return {
        "job_name": name,
        "scrape_interval": f"{seconds}s",
        "scrape_timeout": f"{seconds}s",
        "honor_labels": True,
        "static_configs": [{"targets": [target], "labels": {"instance": name}}],
    }


@contextmanager
def running(scrapes: Sequence[Mapping[str, Any]]) -> Iterator[Server]:
    """Prometheus on a free port, until the block ends.

    Args:
        scrapes: its scrape_configs.

    Raises:
        LabError: it can't be built or does not come up.
    """
    program = prometheus.ensure() / "prometheus"
    port = ports.choose(("prometheus",))["prometheus"]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        config, log = scratch / "prometheus.yaml", scratch / "prometheus.log"
        config.write_text(yaml.safe_dump({"scrape_configs": list(scrapes)}))
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={scratch / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stderr=file,
                stdout=file,
                # Ctrl-C at the terminal is for us alone: we end it in order.
                start_new_session=True,
            )
        server = Server(f"http://127.0.0.1:{port}")
        try:
            _await(process, server.url, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    def ready() -> bool:
        if process.poll() is not None:
            raise LabError(f"prometheus has ended: {log.read_text()}")
        try:
            answer = urllib3.request("GET", f"{url}/-/ready", timeout=5.0, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200

    retry = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda there: not there),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(_READY_SECONDS),
        retry_error_callback=lambda _: False,
    )
    if not retry(ready):
        raise LabError(f"prometheus is not ready after {_READY_SECONDS:.0f} s: {log.read_text()}")
