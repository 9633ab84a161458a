"""A Prometheus beside the demo, and the picture of what the dashboard shows of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numapin_chart.panels import ROWS
from numapin_lab import ports, scraping
from numapin_lab.demo import board
from numapin_lab.demo.cluster import AGENT_SELECTOR, OPERATOR_SELECTOR, Cluster, eventually
from numapin_lab.demo.meter import Child
from numapin_lab.demo.run import Outcome
from numapin_lab.lab import Lab

METRICS_PORT: Final = 9465
"""Of an agent."""
_OPERATOR_PORT: Final = 8081
_SCRAPE_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches.

    Attributes:
        server: scrapes agents and operator.
        opened: when it began; seconds since the epoch.
    """

    server: scraping.Server
    opened: float

    def picture(self, outcome: Outcome) -> bytes:
        """What the dashboard shows from the beginning until now, as SVG.

        Args:
            outcome: of the demo, whose moments are marked.
        """
        end = time.time()
        # The demo's clock is the monotonic one.
        ahead = end - time.monotonic() - self.opened
        marks = {"label set": outcome.labelled + ahead}
        marks |= {f"{name} pinned": at + ahead for name, at in outcome.pinned.items()}

        def ask(expression: str) -> Sequence[Mapping[str, Any]]:
            return self.server.query_range(
                expression, begin=self.opened, end=end, step=_SCRAPE_SECONDS
            )

        return board.draw(ROWS, ask, begin=self.opened, marks=marks)


@contextmanager
def beside(lab: Lab, cluster: Cluster) -> Iterator[Watch]:
    """A Prometheus that asks all agents and the operator, by way of port-forwards.

    Args:
        lab: up, with numapin in it.
        cluster: of it.
    """
    kubectl = (lab.programs() / "kubectl", "--kubeconfig", lab.paths.kubeconfig)
    state = lab.state()
    nodes = list(state.nodes) if state is not None else []
    wanted: list[tuple[str, str, str | None, int]] = [
        *((node, AGENT_SELECTOR, node, METRICS_PORT) for node in nodes),
        ("operator", OPERATOR_SELECTOR, None, _OPERATOR_PORT),
    ]
    with ExitStack() as stack:
        jobs = []
        for name, selector, node, there in wanted:
            namespace, pod = _pod(cluster, selector, node, what=name)
            here = ports.choose((name,))[name]
            argv = (*kubectl, "port-forward", "-n", namespace, f"pod/{pod}", f"{here}:{there}")
            stack.enter_context(_forward(argv, lab.paths.logs / f"demo-prometheus-{name}.log"))
            jobs.append(scraping.job(name, f"127.0.0.1:{here}", seconds=_SCRAPE_SECONDS))
        with lab.steps.step("Prometheus beside the demo"):
            server = stack.enter_context(scraping.running(jobs))
        yield Watch(server, time.time())


def _forward(argv: Sequence[str | Path], log: Path) -> Child:
    return Child(lambda: argv, log)


def _pod(cluster: Cluster, selector: str, node: str | None, *, what: str) -> tuple[str, str]:
    """Namespace and name of a component's ready pod."""
    pod = eventually(
        lambda: cluster.component(selector, node), seconds=60, what=f"numapin on {what} is ready"
    )
    assert pod is not None
    assert pod.metadata is not None
    return str(pod.metadata.namespace), str(pod.metadata.name)
