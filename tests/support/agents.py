"""Agents in the lab that are killed, or have other values than usual."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.world import World

from numapin_lab import deploy
from numapin_lab.paths import checkout
from numapin_lab.steps import run

KILL = """
for p in $(cat {cgroup}/*/cgroup.procs); do
  tr '\\0' ' ' < /proc/$p/cmdline | grep -q numapin.agent && kill -9 $p && echo killed
done
true
"""
"""On a node: kill what runs of the agent in this cgroup."""


def agent_restarts(world: World, node: str) -> int:
    """How often the agent's container was restarted; -1 while it is not ready."""
    statuses = world.agent(node).status.container_statuses
    return int(statuses[0].restart_count) if statuses[0].ready else -1


def agent_cgroup(world: World, node: str) -> str:
    """Cgroup directory of the agent's pod."""
    uid = world.agent(node).metadata.uid.replace("-", "_")
    return world.ssh(node, f"find /sys/fs/cgroup/kubepods.slice -name '*pod{uid}.slice'").strip()


def _flag(path: str, value: str) -> str:
    """Of helm, whose ``--set`` can't say an empty list."""
    return f"--set-json={path}={value}" if value.startswith("[") else f"--set={path}={value}"


def upgrade(world: World, **values: str) -> None:
    """Change values of the release, lists as JSON, and wait until its agents have rolled."""
    programs, kubeconfig = world.lab.programs(), world.lab.paths.kubeconfig
    run(
        [
            *(programs / "helm", "--kubeconfig", kubeconfig, "upgrade", deploy.RELEASE),
            *(checkout() / "charts" / "numapin", "--namespace", deploy.NAMESPACE),
            "--reuse-values",
            *(_flag(path.replace("__", "."), value) for path, value in values.items()),
        ],
        log=world.lab.paths.root / "logs" / "security.log",
    )
    world.kubectl(
        *("rollout", "status", "-n", deploy.NAMESPACE, "daemonset/numapin-agent"),
        "--timeout=200s",
    )


@contextmanager
def agents_with(world: World, usual: dict[str, str], **values: str) -> Iterator[None]:
    """Agents with other values, and afterwards with the usual ones again."""
    upgrade(world, **values)
    try:
        yield
    finally:
        upgrade(world, **usual)
