"""The process that one NumaTrace runs in: reads a question, prints the answer, ends.

Of its own, so that nothing of a trace stays in the agent's memory, that the kernel kills this
one first when the node's memory runs out, and that ending it detaches everything. It ends with
the agent, too: when its standard input is closed.
"""

import json
import os
import resource
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace.question import Question, Scope
from numapin_agent.trace.run import TRACE_OPTIONS, hierarchy, run, scope_of
from numapin_agent.traces.wire import fitted
from numapin_api.errors import CgroupError, TraceError

_MIB: Final = 1 << 20
DATA_BYTES: Final = 128 * _MIB
"""Of private memory, for this process and for the compiler each; 80 MiB are enough to compile.

Over the container's limit the agent would go, too: the kubelet sets memory.oom.group on cgroup v2.
These two, the programs' maps and the agent fit it.
"""
CPU_SECONDS: Final = 300
"""Beside the trace's own length: compiling takes an emulated node a minute."""
NICE: Final = 10
_FIRST_TO_BE_KILLED: Final = "1000"


def confine(seconds: float) -> None:
    """Take only what pods leave over, and little of it.

    Args:
        seconds: that the trace takes.
    """
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    cpu = CPU_SECONDS + round(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_BE_KILLED)


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the kernel.

    Args:
        asked: fields of ``Asked``.

    Returns:
        ``result`` with ``message``, or ``refused``.
    """
    paths = HostPaths(Path(asked["root"]), cgroup_dir=Path(asked["cgroup_dir"]))
    try:
        scope = Scope(asked["scope"])
        if asked["cgroup"] is not None:
            scope = scope_of(Path(asked["cgroup"]), hierarchy(paths), asked["scope"])
        result = run(
            Question(**asked["question"]),
            scope,
            seconds=asked["seconds"],
            paths=paths,
            options=replace(TRACE_OPTIONS, store=Path(asked["store"])),
        )
        return {"result": fitted(result), "message": result.why}
    except (TraceError, CgroupError) as error:
        return {"refused": str(error)}


def _end_with_the_agent() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Read one question, print one answer."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_agent, daemon=True).start()
    confine(asked["seconds"])
    print(json.dumps(answer(asked)), flush=True)
    # The thread that waits for the agent's end holds standard input: an ordinary exit might
    # wait for it.
    os._exit(0)


if __name__ == "__main__":
    main()
