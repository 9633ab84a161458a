"""A recorded week: the pods of Alibaba's GPU cluster trace of 2023, under each rule.

    python -m bench.recorded openb_pod_list_default.csv

The file is cluster-trace-gpu-v2023/csv/openb_pod_list_default.csv of the repository
alibaba/clusterdata on GitHub; it is not part of this one. Recorded are when each pod came and
went, what it asked for and its QoS class. Not recorded, and made up as ``bench.week`` says: what
a pod used of that. The trace's commonest node has 96 CPUs and 384 GiB; here it has two sockets.
GPUs are left out, so fewer nodes hold all pods. Each pod goes to the node with the most CPU left
by requests, as the scheduler's LeastAllocated would have it, and nowhere when that is full. The
week is the trace's busiest; pods that are there when it begins come in its first step, the
oldest first.
"""

import csv
import math
import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click
from bench import rivals
from bench.instances import GIB
from bench.run import table
from bench.week import BOUND, SEED, SOCKETS, STEP, STEPS, Life, Scene, rows, run
from rich.console import Console
from rich.progress import track

from numapin_operator.requests import Requests

NODES: Final = 8
CPUS: Final = 48
MEMORY: Final = 192 * GIB
_MIB: Final = 1 << 20
_STEP_SECONDS: Final = 60 * STEP
_GUARANTEED: Final = "Guaranteed"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A pod of the trace, with times in seconds since it began."""

    came: float
    went: float
    requests: Requests
    guaranteed: bool


def read(lines: Iterable[str]) -> list[Recorded]:
    """Pods of the trace that were scheduled, in the order in which they came.

    Args:
        lines: of openb_pod_list_default.csv.
    """
    found = []
    for row in csv.DictReader(lines):
        if not row["scheduled_time"]:
            continue
        cpu = int(row["cpu_milli"])
        found.append(
            Recorded(
                float(row["scheduled_time"]),
                float(row["deletion_time"]),
                Requests(cpu, int(row["memory_mib"]) * _MIB),
                row["qos"] == _GUARANTEED and cpu % 1000 == 0,
            )
        )
    return sorted(found, key=lambda pod: pod.came)


def busiest(pods: Sequence[Recorded]) -> float:
    """When the seven whole days begin in which the most pods came."""
    days = [int(pod.came // 86400) for pod in pods]
    first = max(set(days), key=lambda day: sum(day <= one < day + 7 for one in days))
    return 86400.0 * first


def scattered(pods: Sequence[Recorded], begin: float) -> list[list[tuple[int, Recorded]]]:
    """Pods of the week by node, each with its first step."""
    nodes: list[list[tuple[int, Recorded]]] = [[] for _ in range(NODES)]
    for pod in pods:
        step = max(0, int((pod.came - begin) // _STEP_SECONDS))
        if pod.went <= begin or step >= STEPS:
            continue
        asked = [
            sum(p.requests.cpu_millis for _, p in node if p.went > max(pod.came, begin))
            for node in nodes
        ]
        least = min(range(NODES), key=lambda i: asked[i])
        if asked[least] + pod.requests.cpu_millis <= BOUND * SOCKETS * CPUS * 1000:
            nodes[least].append((step, pod))
    return nodes


def lives(
    nodes: Sequence[Sequence[tuple[int, Recorded]]], begin: float, node: int
) -> list[tuple[int, Life]]:
    """The pods of a node, with what they use made up."""
    chance = random.Random(f"{SEED} {node}")
    made = []
    for step, pod in nodes[node]:
        until = max(step + 1, math.ceil((pod.went - begin) / _STEP_SECONDS))
        life = Life(
            rivals.Asked(pod.requests, pod.guaranteed),
            until,
            chance.uniform(0.3, 1.3),
            chance.uniform(0, 2 * math.pi),
            round(pod.requests.memory_bytes * chance.uniform(0.6, 1.0)),
        )
        made.append((step, life))
    return made


def scene(lines: Iterable[str]) -> Scene:
    """The week of the trace."""
    pods = read(lines)
    begin = busiest(pods)
    return Scene(NODES, CPUS, MEMORY, partial(lives, scattered(pods, begin), begin))


@click.command()
@click.argument("pod_list", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(pod_list: Path) -> None:
    """Print what each rule makes of the trace's busiest week."""
    with pod_list.open(newline="") as lines:
        what = scene(lines)
    with ProcessPoolExecutor() as pool:
        weeks = pool.map(partial(run, scene=what), rivals.RULES)
        done = list(track(weeks, "each rule", total=len(rivals.RULES), transient=True))
    for rule, found in done:
        title = f"{rule}: {found.pods} pods on {NODES} nodes"
        Console().print(table(title, list(rows((rule, found), NODES)), 0))


if __name__ == "__main__":
    main()
