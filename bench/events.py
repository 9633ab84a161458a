"""What each event costs in each kernel program: nanoseconds, and instructions.

``guest/events.py`` measures and says how; here it is run on this machine's kernel and, when the
lab is up, in the agent's container there, whose instructions are those of another kernel.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench.harness import Bed, Row

TITLE = "Kernel programs: what an event costs"
NEEDS_LAB = False

_NAMESPACE, _AGENT = "numapin-system", "app.kubernetes.io/component=agent"
_STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
_SCRIPT = Path(__file__).parent / "guest" / "events.py"
_NATIVELY, _EMULATED = 20_000, 2_000
BUDGET_NS: Final = 150.0
"""Of an event of which there are many, natively and on cgroup v2: pods of v1 are never pinned."""


def measure(bed: Bed) -> Iterable[Row]:
    """On this machine, then in the lab if it is up."""
    yield from rows("native", _native(), budgets=True)
    if bed.lab.is_up():
        yield from rows("lab", in_agent(bed, _SCRIPT, str(_EMULATED)), budgets=False)


def _native() -> Mapping[str, Any]:
    with statistics():
        command = [sys.executable, str(_SCRIPT), str(_NATIVELY)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


@contextlib.contextmanager
def statistics() -> Iterator[None]:
    """The kernel's BPF statistics, on meanwhile if that is in our hands."""
    if not os.access(_STATISTICS, os.W_OK):
        yield
        return
    before = _STATISTICS.read_text()
    _STATISTICS.write_text("1")
    try:
        yield
    finally:
        _STATISTICS.write_text(before)


def agent(bed: Bed) -> tuple[str, str]:
    """Names of an agent's pod in the lab, and of its node."""
    place = "-o=jsonpath={.items[0].metadata.name} {.items[0].spec.nodeName}"
    pod, node = bed.kubectl("get", "pod", "-n", _NAMESPACE, "-l", _AGENT, place).split()
    return pod, node


def in_agent(bed: Bed, script: Path, *arguments: str) -> Mapping[str, Any]:
    """What a script prints in an agent's container in the lab, with BPF statistics on.

    Args:
        bed: whose lab is up.
        script: of ``guest``.
        arguments: for it.
    """
    pod, node = agent(bed)
    with statistics_on(bed, node):
        said = bed.kubectl(
            *("exec", "-i", "-n", _NAMESPACE, pod, "--"),
            *("/opt/numapin/bin/python3", "-", *arguments),
            said=script.read_text(),
            seconds=1800,
        )
    return dict(json.loads(said))


@contextlib.contextmanager
def statistics_on(bed: Bed, node: str) -> Iterator[None]:
    """The kernel's BPF statistics on a node of the lab, on meanwhile."""
    before = bed.ssh(node, f"cat {_STATISTICS}").strip()
    bed.ssh(node, f"echo 1 > {_STATISTICS}")
    try:
        yield
    finally:
        bed.ssh(node, f"echo {before} > {_STATISTICS}")


def rows(where: str, got: Mapping[str, Any], *, budgets: bool) -> Iterator[Row]:
    """What the script found, as rows.

    Args:
        where: it ran.
        got: what it printed.
        budgets: whether its nanoseconds can be compared with the budget.
    """
    where = f"{where}, Linux {got['kernel']}"
    alone = _per_run(got["nothing"])
    yield Row(f"{where}: the statistics alone, taken off below", alone, "ns/event")
    for kind, costs in got["kinds"].items():
        for cost in costs:
            if not cost["event"]:
                continue
            spent = _per_run(cost) - alone
            hot = budgets and cost["hot"] and "v1" not in kind and not math.isnan(spent)
            yield Row(
                f"{where}, {kind}: {cost['program']}, {cost['event']} ({cost['runs']} events)",
                spent,
                "ns/event",
                goal=f"≤ {BUDGET_NS:g} ns/event" if hot else "",
                met=spent <= BUDGET_NS if hot else None,
            )
        for name, cost in {c["program"]: c for c in costs}.items():
            what = f"{where}, {kind}: {name} at most, {cost['calls']} calls of helpers among them"
            yield Row(what, cost["instructions"], "instructions/event")


def _per_run(cost: Mapping[str, Any]) -> float:
    """Nanoseconds; NaN without statistics."""
    if not cost["runs"] or not cost["nanoseconds"]:
        return float("nan")
    return float(cost["nanoseconds"]) / float(cost["runs"])
