"""What became of numapin's own pods, shown with an end-to-end test that failed.

A test sees that the agent was started anew, and by then its cause is gone from everywhere
but the consoles of the nodes, the kubelet's last state, the former container's log and the Events.
"""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
from support.world import World

from numapin_lab.deploy import NAMESPACE as SYSTEM

LINES = 40
"""Of a log's end."""
CRASH = re.compile(r"Oops|Kernel panic|BUG:|RIP: 0010|Out of memory|oom-kill")


def sections(world: World) -> Iterator[tuple[str, str]]:
    """Title and text of each thing that helps to find out.

    Args:
        world: with the API server that still runs.
    """
    for console in sorted(world.lab.paths.logs.glob("*.console.log")):
        lines = console.read_text(errors="replace").splitlines()
        yield f"{console.name}: crashes", "\n".join(filter(CRASH.search, lines))
    listed = json.loads(world.kubectl("get", "pods", "-n", SYSTEM, "-o", "json"))
    for pod in listed["items"]:
        name = pod["metadata"]["name"]
        for status in pod.get("status", {}).get("containerStatuses", []):
            told = f"{name} on {pod['spec'].get('nodeName')}: ready {status['ready']}, "
            told += f"restarts {status['restartCount']}"
            yield told, json.dumps(status["lastState"], indent=2)
            if status["restartCount"]:
                log = ("logs", "-n", SYSTEM, name, f"--tail={LINES}")
                yield f"{name}: the former container's log", world.kubectl(*log, "--previous")
    events = ("get", "events", "-n", SYSTEM, "--sort-by=.lastTimestamp")
    yield "Events", "\n".join(world.kubectl(*events).splitlines()[-LINES:])


def show(report: pytest.TestReport, world: World) -> None:
    """Add it to a report; what can't be had is no failure of its own."""
    try:
        report.sections.extend(sections(world))
    except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
        report.sections.append(("numapin's pods can't be asked", str(error)))
