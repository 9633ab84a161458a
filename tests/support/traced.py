"""numapin trace in the lab, and what kernel programs its nodes have."""

import json
import re

from click.testing import CliRunner
from support.world import World

from numapin_agent.trace.result import Result
from numapin_cli.main import cli


def traced(world: World, *arguments: str) -> Result:
    """The answer; asked again when the emulator, and so the node, crashed meanwhile."""
    config = str(world.lab.paths.kubeconfig)
    command = ["--kubeconfig", config, "trace", *arguments, "-o", "json"]
    crashes = world.patching_crashes()
    run = CliRunner().invoke(cli, command)
    for _ in range(2):
        before, crashes = crashes, world.patching_crashes()
        if run.exit_code == 0 or crashes == before:
            break
        print(f"asked again, an emulated node crashed: {crashes}\n{run.output}")
        for node in ("numa-0", "numa-1"):
            world.agent(node)
        run = CliRunner().invoke(cli, command)
    assert run.exit_code == 0, (run.output, run.exception)
    return Result.model_validate(json.loads(run.stdout))


def programs(world: World, node: str) -> set[str]:
    """Ids of all kernel programs of the node, by bpftool."""
    return set(re.findall(r"^(\d+):", world.ssh(node, "bpftool prog list"), re.MULTILINE))
