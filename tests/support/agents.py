"""Agents in the lab with other values than usual."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.world import World

from numapin_lab import deploy
from numapin_lab.paths import checkout
from numapin_lab.steps import run


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
