"""numapin trace in the lab, and what its nodes have of kernel programs and of agents' processes."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from click.testing import CliRunner
from support.world import World

from numapin_agent.trace.result import Result
from numapin_api.errors import LabError
from numapin_cli.main import cli

T = TypeVar("T")
_KINDS = ("prog", "map", "link")
_HELD = """
for kind in prog map link; do bpftool -j $kind list; echo; done
for p in $(find /sys/fs/cgroup/kubepods.slice -path '*pod{uid}.slice/*' -name cgroup.procs \
    -exec cat {{}} +); do
  echo $p $(tr '\\0' ' ' </proc/$p/cmdline)
done
true
"""


def unless_crashed(world: World, once: Callable[[], T]) -> T:
    """What it gives; asked again, twice at most, when an emulated node crashed meanwhile."""
    for _ in range(2):
        crashes = world.patching_crashes()
        try:
            return once()
        except (AssertionError, LabError) as error:
            if world.patching_crashes() == crashes:
                raise
            print(f"asked again, an emulated node crashed: {world.patching_crashes()}\n{error}")
            for node in ("numa-0", "numa-1"):
                world.agent(node)
    return once()


def traced(world: World, *arguments: str) -> Result:
    """The answer; asked again when the emulator, and so the node, crashed meanwhile."""
    config = str(world.lab.paths.kubeconfig)
    command = ["--kubeconfig", config, "trace", *arguments, "-o", "json"]

    def once() -> Result:
        run = CliRunner().invoke(cli, command)
        assert run.exit_code == 0, (run.output, run.exception)
        return Result.model_validate(json.loads(run.stdout))

    return unless_crashed(world, once)


@contextmanager
def tracing(world: World, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, which ignores no signal as one below nohup would."""
    argv = ["env", "--default-signal", sys.executable, "-m", "numapin_cli.main"]
    with subprocess.Popen(
        [*argv, "--kubeconfig", str(world.lab.paths.kubeconfig), "trace", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def programs(world: World, node: str) -> set[str]:
    """Ids of all kernel programs of the node, by bpftool."""
    return set(re.findall(r"^(\d+):", world.ssh(node, "bpftool prog list"), re.MULTILINE))


@dataclass(frozen=True, slots=True)
class Held:
    """What a node has, by bpftool and procfs.

    Attributes:
        bpf: names of its kernel's programs, maps and links, by kind and id.
        processes: command lines of all processes in its agent's pod, by number.
    """

    bpf: Mapping[tuple[str, int], str]
    processes: Mapping[int, str]

    def since(self, before: "Held") -> "Held":
        """What was not there before."""
        return Held(
            {one: name for one, name in self.bpf.items() if one not in before.bpf},
            {pid: line for pid, line in self.processes.items() if pid not in before.processes},
        )

    def names(self) -> tuple[Counter[tuple[str, str]], Counter[str]]:
        """The same without ids and numbers, which another agent has others of."""
        named = Counter((kind, name) for (kind, _), name in self.bpf.items())
        return named, Counter(self.processes.values())


def held(world: World, node: str) -> Held:
    """What the node has now."""
    uid = str(world.agent(node).metadata.uid).replace("-", "_")
    lines = [one for one in world.ssh(node, _HELD.format(uid=uid)).splitlines() if one.strip()]
    bpf = {
        (kind, one["id"]): one.get("name") or one.get("tp_name") or one["type"]
        for kind, listed in zip(_KINDS, lines, strict=False)
        for one in json.loads(listed)
    }
    numbered = (line.partition(" ") for line in lines[len(_KINDS) :])
    return Held(bpf, {int(pid): command for pid, _, command in numbered})
