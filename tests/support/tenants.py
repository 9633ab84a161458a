"""Two cgroups as two tenants, programs that run in them, and a trace around what they do."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace.question import Question, Scope
from numapin_agent.trace.result import Result
from numapin_agent.trace.run import hierarchy, run, scope_of


class Program:
    """A program in a cgroup that does its work when told to."""

    def __init__(self, cgroup: Path, command: Sequence[str]) -> None:
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        (cgroup / "cgroup.procs").write_text(str(self.child.pid))
        assert self.child.stdout is not None
        assert self.child.stdout.readline().strip() == "ready"

    @classmethod
    def python(cls, cgroup: Path, work: str) -> "Program":
        """One in Python: prints the JSON value of ``answer`` after its work, ends when told."""
        text = (
            "import json, os, socket, sys, time\n"
            'print("ready", flush=True)\nsys.stdin.readline()\nanswer = None\n'
            f"{work}\nprint(json.dumps(answer), flush=True)\nsys.stdin.readline()\n"
        )
        return cls(cgroup, [sys.executable, "-S", "-c", text])

    @classmethod
    def contained(cls, cgroup: Path, root: Path, command: Sequence[str]) -> "Program":
        """One that sees what a container's does: a root, a /tmp and process numbers of its own."""
        # Whoever makes a PID namespace stays outside it: in the cgroup is to be who it forks.
        joined = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(cgroup / "cgroup.procs")]
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        script = 'mount -t tmpfs none "$0/tmp" && exec chroot "$0" "$@"'
        return cls(cgroup, [*joined, *alone, "sh", "-c", script, str(root), *command])

    def work(self) -> object:
        """Let it do its work; what it answers."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("go\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def end(self) -> None:
        self.child.communicate("end\n")


def traced(question: Question, scope: Scope, during: Callable[[], None], **more: object) -> Result:
    """Trace while something is done: from when all is attached until it is over."""
    stop, begun, failed = threading.Event(), threading.Event(), []

    def act() -> None:
        begun.wait()
        try:
            during()
        except BaseException as error:  # noqa: BLE001 — raised again below
            failed.append(error)
        stop.set()

    actor = threading.Thread(target=act, daemon=True)
    actor.start()
    result = run(question, scope, seconds=120, stop=stop, progress=lambda _: begun.set(), **more)  # type: ignore[arg-type]
    actor.join()
    if failed:
        raise failed[0]
    assert result.ended == "interrupted", "it was over before what it should see"
    return result


NODE = Scope()


def of(cgroup: Path) -> Scope:
    return scope_of(cgroup, hierarchy(HostPaths()), cgroup.name)


def asked(probe: str, during, scope: Scope = NODE, **more) -> Result:
    function = "vfs_read" if probe == "function" else None
    return traced(Question(probe, function, **more), scope, during)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
