"""Shows what the lab consists of, and where its logs are.

Deliberately reads only: nothing is built or started by looking.
"""

from rich.console import Console
from rich.table import Table

from numapin_api.errors import LabError
from numapin_lab import config, join, nodes
from numapin_lab.controlplane import ALL
from numapin_lab.lab import Lab
from numapin_lab.state import LabState

_OF_NUMAPIN = ("operator", "agent")


def components(now: LabState | None) -> list[str]:
    """What `lab/lab logs` knows; a node is its console, NODE/kubelet its journal."""
    names = list(now.nodes) if now else []
    return [*ALL, *names, *(f"{n}/kubelet" for n in names), *_OF_NUMAPIN]


def log_command(lab: Lab, component: str) -> list[str]:
    """Command that prints a component's log.

    Raises:
        LabError: no such component; lists them.
    """
    now = lab.state()
    node, _, unit = component.partition("/")
    if component in ALL:
        return ["tail", "-n", "200", str(lab.control_plane().log(component))]
    if component in _OF_NUMAPIN:
        kubectl = [str(lab.programs() / "kubectl"), "--kubeconfig", str(lab.paths.kubeconfig)]
        label = f"app.kubernetes.io/component={component}"
        return [*kubectl, "-n", "numapin-system", "logs", "--prefix", "--tail=200", "-l", label]
    if now is not None and node in now.nodes:
        if unit == "kubelet":
            journal = ["journalctl", "--unit", unit, "--no-pager", "--lines=200"]
            return nodes.ssh(now.nodes[node], lab.paths, journal)
        if not unit:
            return ["tail", "-n", "200", str(lab.paths.console(node))]
    raise LabError(f"no log of {component!r}; there are: {', '.join(components(now))}")


def status(lab: Lab, console: Console) -> bool:
    """Print what runs; returns whether all of it does."""
    now = lab.state()
    if now is None or not now.nodes:
        console.print("the lab is not up: lab/lab up")
        return False
    shape = config.topology(now.topology)
    console.print(
        f"topology {shape.name}: {shape.sockets} sockets, {shape.nodes} NUMA nodes, "
        f"{shape.cpus} CPUs; Linux {now.kernel}; kubeconfig {lab.paths.kubeconfig}",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("component", "state", "process", "memory", "ssh port"):
        table.add_column(column, no_wrap=True)
    plane = lab.control_plane()
    healthy = True
    for component in ALL:
        process = plane.process(component)
        runs = process is not None and process.alive()
        healthy &= runs
        pid = str(process.pid) if process and runs else ""
        table.add_row(component, _word(runs), pid, "", "")
    ready = join.ready_names(lab.paths.kubeconfig)
    for name, node in now.nodes.items():
        runs = node.process.alive()
        healthy &= runs and name in ready
        word = "Ready" if name in ready and runs else _word(runs)
        memory = f"{node.memory_mib} MiB"
        table.add_row(name, word, str(node.process.pid), memory, str(node.ssh_port))
    console.print(table)
    return healthy


def _word(runs: bool) -> str:
    return "running" if runs else "ended"
