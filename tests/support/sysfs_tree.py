"""Machines that tests make up, written as the sysfs tree that Linux would show of them.

``expected`` says what a machine is from the same description, without reading anything,
so that a test compares two independent ways to the same answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology


@dataclass(frozen=True)
class Cpu:
    id: int
    package: int
    node: int
    online: bool = True


@dataclass(frozen=True)
class Machine:
    """``memory`` is KiB of each NUMA node; ``distances`` are in its order, ascending."""

    cpus: tuple[Cpu, ...]
    memory: Mapping[int, int]
    distances: tuple[tuple[int, ...], ...]

    @property
    def online(self) -> CpuSet:
        return CpuSet(c.id for c in self.cpus if c.online)


@dataclass(frozen=True)
class Style:
    """What kernels and dump tools do differently. ``packages``: given, minus-one or absent."""

    cpu_online: bool = True
    own_online: bool = True
    cpulist: bool = True
    cpumap: bool = True
    links: bool = True
    packages: str = "given"
    nul: bool = False
    offline_in_maps: bool = False
    node_dirs: bool = True
    without_package: frozenset[int] = field(default_factory=frozenset)


def machine(*, sockets: int, nodes: int = 1, cpus: int = 2, memory_only: int = 0) -> Machine:
    """A regular machine: so many NUMA nodes a socket, so many CPUs a node."""
    all_cpus = tuple(
        Cpu(id=(s * nodes + n) * cpus + c, package=s, node=s * nodes + n)
        for s in range(sockets)
        for n in range(nodes)
        for c in range(cpus)
    )
    ids = range(sockets * nodes + memory_only)
    return Machine(
        cpus=all_cpus,
        memory={i: (i + 1) << 20 for i in ids},
        distances=tuple(tuple(10 if i == j else 21 for j in ids) for i in ids),
    )


def expected(m: Machine, style: Style | None = None) -> Topology:
    """What the topology of a machine is, by definition."""
    style = style or Style()
    known = style.packages == "given"
    package = {c.id: c.package if known else 0 for c in m.cpus if c.online}
    node_cpus = {i: CpuSet(c.id for c in m.cpus if c.online and c.node == i) for i in m.memory}
    memory, distances = m.memory, m.distances
    if not style.node_dirs:
        node_cpus, memory, distances = {0: m.online}, {0: sum(memory.values())}, ((10,),)
    nodes = []
    for i, cpus in sorted(node_cpus.items()):
        packages = {package[c] for c in cpus}
        socket = packages.pop() if len(packages) == 1 else None
        nodes.append(NumaNode(id=i, cpus=cpus, memory_bytes=memory[i] * 1024, socket=socket))
    sockets = tuple(
        Socket(
            id=p,
            cpus=CpuSet(c for c in package if package[c] == p),
            nodes=NodeSet(i for i, cpus in node_cpus.items() if any(package[c] == p for c in cpus)),
        )
        for p in sorted(set(package.values()))
    )
    return Topology(sockets=sockets, nodes=tuple(nodes), distances=distances)


def mask(cpus: CpuSet, *, words: int) -> str:
    """The bitmap of some CPUs as sysfs prints it."""
    value = sum(1 << c for c in cpus)
    return ",".join(f"{value >> 32 * i & 0xFFFFFFFF:08x}" for i in reversed(range(words)))


def write(m: Machine, root: Path, style: Style | None = None) -> None:
    """Write the tree of a machine below a directory."""
    style = style or Style()
    end = "\n\0" if style.nul else "\n"
    cpu_dir, node_dir = root / "sys/devices/system/cpu", root / "sys/devices/system/node"
    words = max((c.id for c in m.cpus), default=0) // 32 + 1

    def put(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + end)

    if style.cpu_online:
        put(cpu_dir / "online", str(m.online))
    for c in m.cpus:
        directory = cpu_dir / f"cpu{c.id}"
        directory.mkdir(parents=True)
        if style.own_online and c.id:
            put(directory / "online", str(int(c.online)))
        if not c.online:
            continue
        same = CpuSet(x.id for x in m.cpus if x.online and x.package == c.package)
        put(directory / "topology/core_siblings", mask(same, words=words))
        if style.packages != "absent" and c.id not in style.without_package:
            put(
                directory / "topology/physical_package_id",
                str(c.package) if style.packages == "given" else "-1",
            )
    total = sum(m.memory.values())
    put(root / "proc/meminfo", f"MemTotal: {total:>15} kB\nMemFree: {total:>15} kB")
    if not style.node_dirs:
        return
    put(node_dir / "possible", str(NodeSet(m.memory)))
    for row, i in zip(m.distances, sorted(m.memory), strict=True):
        directory = node_dir / f"node{i}"
        cpus = CpuSet(c.id for c in m.cpus if c.node == i and (c.online or style.offline_in_maps))
        if style.cpulist:
            put(directory / "cpulist", str(cpus))
        if style.cpumap:
            put(directory / "cpumap", mask(cpus, words=words))
        put(directory / "distance", " ".join(map(str, row)))
        put(
            directory / "meminfo",
            f"Node {i} MemTotal: {m.memory[i]:>15} kB\nNode {i} MemFree: {m.memory[i]:>15} kB",
        )
        if style.links:
            for c in cpus:
                (directory / f"cpu{c}").symlink_to(f"../../cpu/cpu{c}")
