"""From the text of sysfs files to sockets, NUMA nodes and distances.

Pure: ``numapin_agent.sysfs`` reads the files, this module judges them. What sysfs leaves
open is answered by fixed rules (below); what it contradicts is refused, because a pin
that follows a wrong map is worse than none. cgroups and cpusets play no part here.

The rules, oldest kernels included:

* Online CPUs are those of ``cpu/online``. Kernels before 2.6.29 lack it: then a CPU is
  online unless its own ``online`` file says 0, or others have a ``topology`` directory
  and it has none (x86 removes it with the CPU). cpu0 mostly has no ``online`` file.
* A NUMA node's CPUs are the online ones of its ``cpulist``, before 2.6.26 of its
  ``cpumap``, else of its ``cpuN`` links. What they say of offline CPUs is ignored.
* A socket is a ``physical_package_id``; -1 and a missing file mean unknown. Unknown on
  every CPU (s390, POWER, some arm): all of them are socket 0. Unknown on some: what the
  sibling maps say, else an error.
* No nodeN directory: one node 0 with everything.
* No ``distance`` file in any node: the kernel's own defaults, 10 and 20
  (include/linux/topology.h).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CpuListError, TopologyError
from numapin_api.topology import NumaNode, Socket, Topology

LOCAL_DISTANCE = 10
REMOTE_DISTANCE = 20
"""What the kernel assumes where firmware gives no SLIT: include/linux/topology.h."""

_MAX_PACKAGE = (1 << 31) - 1
_MASK_WORD = re.compile(r"[0-9a-fA-F]{1,8}", re.ASCII)
_KIB = 1024
_From = TypeVar("_From")
_To = TypeVar("_To")


@dataclass(frozen=True, slots=True)
class RawCpu:
    """One ``cpuN`` directory as found; None for a file that is not there.

    Attributes:
        id: the N.
        online: text of ``online``.
        has_topology: whether it has a ``topology`` directory.
        package: text of ``topology/physical_package_id``.
        siblings: text of the mask of CPUs in the same package (``package_cpus``, before
            5.3 ``core_siblings``); read only where package ids are known on some CPUs only.
    """

    id: int
    online: str | None
    has_topology: bool
    package: str | None
    siblings: str | None = None


@dataclass(frozen=True, slots=True)
class RawNode:
    """One ``nodeN`` directory as found; None for a file that is not there.

    Attributes:
        id: the N.
        cpulist: text of ``cpulist``.
        cpumap: text of ``cpumap``.
        links: the N of its ``cpuN`` links.
        meminfo: text of ``meminfo``.
        distance: text of ``distance``.
    """

    id: int
    cpulist: str | None
    cpumap: str | None
    links: frozenset[int]
    meminfo: str | None
    distance: str | None


@dataclass(frozen=True, slots=True)
class RawMachine:
    """Everything that the topology is made of, as found.

    Attributes:
        cpu_dir: path of the ``cpu`` directory, for messages.
        node_dir: path of the ``node`` directory, for messages.
        meminfo_path: path of ``proc/meminfo``, for messages.
        online: text of ``cpu/online``.
        cpus: the cpuN directories.
        possible_nodes: text of ``node/possible``.
        nodes: the nodeN directories, ascending.
        meminfo: text of ``proc/meminfo``.
    """

    cpu_dir: str
    node_dir: str
    meminfo_path: str
    online: str | None
    cpus: tuple[RawCpu, ...]
    possible_nodes: str | None
    nodes: tuple[RawNode, ...]
    meminfo: str | None

    def cpu_file(self, cpu: int, name: str) -> str:
        """Path of a file of one CPU, for messages."""
        return f"{self.cpu_dir}/cpu{cpu}/{name}"

    def node_file(self, node: int, name: str) -> str:
        """Path of a file of one NUMA node, for messages."""
        return f"{self.node_dir}/node{node}/{name}"


def build(raw: RawMachine) -> Topology:
    """The topology that a machine's sysfs describes.

    Args:
        raw: the files as found.

    Raises:
        TopologyError: a file is truncated or not what Linux writes, or two of them
            contradict each other; the message names file, value and what is allowed.
    """
    online = online_cpus(raw)
    package = _packages(raw, online)
    if raw.nodes:
        node_cpus = _node_cpus(raw, online)
        memory = {n.id: _node_memory(raw, n) for n in raw.nodes}
        distances = _distances(raw)
    else:
        node_cpus = {0: online}
        memory = {0: 0 if raw.meminfo is None else _memory(raw.meminfo_path, raw.meminfo)}
        distances = ((LOCAL_DISTANCE,),)
    nodes = tuple(
        NumaNode(
            id=i,
            cpus=cpus,
            memory_bytes=memory[i],
            socket=_only({package[c] for c in cpus}),
        )
        for i, cpus in sorted(node_cpus.items())
    )
    members: dict[int, list[int]] = {}
    for cpu in online:
        members.setdefault(package[cpu], []).append(cpu)
    sockets = tuple(
        Socket(
            id=i,
            cpus=(cpus := CpuSet(ids)),
            nodes=NodeSet(n.id for n in nodes if not n.cpus.isdisjoint(cpus)),
        )
        for i, ids in sorted(members.items())
    )
    return Topology(sockets=sockets, nodes=nodes, distances=distances)


def online_cpus(raw: RawMachine) -> CpuSet:
    """The online CPUs of a machine, by the rules of this module.

    Args:
        raw: the files as found.

    Raises:
        TopologyError: no CPU is online, or the files contradict each other.
    """
    own = {c.id: _own_online(raw, c) for c in raw.cpus}
    if raw.online is None:
        online = _online_by_cpu(raw, own)
        if not online:
            raise TopologyError(f"{raw.cpu_dir}: no online CPU found; there must be one at least")
        return online
    file = f"{raw.cpu_dir}/online"
    online = _ids(file, CpuSet.parse, raw.online)
    if not online:
        raise TopologyError(f"{file} is empty; a running machine has one online CPU at least")
    for cpu in online:
        if cpu not in own:
            raise TopologyError(
                f"{file} is {str(online)!r}, but there is no {raw.cpu_dir}/cpu{cpu}: "
                "each online CPU has a directory"
            )
    for cpu, flag in own.items():
        if flag is not None and flag != (cpu in online):
            raise TopologyError(
                f"{file} is {str(online)!r}, but {raw.cpu_file(cpu, 'online')} is {int(flag)}: "
                "they must say the same"
            )
    return online


def _online_by_cpu(raw: RawMachine, own: Mapping[int, bool | None]) -> CpuSet:
    """The online CPUs where there is no list of them."""
    removed = any(c.has_topology for c in raw.cpus)
    return _ids(
        raw.cpu_dir,
        CpuSet,
        (
            c.id
            for c in raw.cpus
            if own[c.id] or (own[c.id] is None and (c.has_topology or not removed))
        ),
    )


def parse_mask(text: str) -> CpuSet:
    """Parse a bitmap as lib/vsprintf.c ``%*pb`` prints it: 32-bit hex words, highest first.

    Args:
        text: like ``00000003,ffffffff``; the first word may be shorter.

    Raises:
        CpuListError: a word is not hexadecimal.
    """
    value = 0
    for word in text.strip().split(","):
        if _MASK_WORD.fullmatch(word) is None:
            raise CpuListError(
                f"{word!r} in mask {text.strip()[:80]!r} is not 1 to 8 hexadecimal digits"
            )
        value = value << 32 | int(word, 16)
    return CpuSet(i for i in range(value.bit_length()) if value >> i & 1)


def _own_online(raw: RawMachine, cpu: RawCpu) -> bool | None:
    text = "" if cpu.online is None else cpu.online.strip()
    if not text:  # some ia64 kernels and dump tools leave the file empty: it says nothing
        return None
    if text not in ("0", "1"):
        raise TopologyError(f"{raw.cpu_file(cpu.id, 'online')} is {text!r}; allowed are 0 and 1")
    return text == "1"


def _packages(raw: RawMachine, online: CpuSet) -> Mapping[int, int]:
    """The package of each online CPU."""
    known: dict[int, int] = {}
    for cpu in raw.cpus:
        if cpu.id in online and (package := _package(raw, cpu)) is not None:
            known[cpu.id] = package
    if not known:
        return dict.fromkeys(online, 0)
    unknown = online - known.keys()
    if not unknown:
        return known
    votes: dict[int, set[int]] = {c: set() for c in unknown}
    for cpu in raw.cpus:
        if cpu.siblings is None or cpu.id not in online:
            continue
        file = raw.cpu_file(cpu.id, "topology/core_siblings")
        siblings = _ids(file, parse_mask, cpu.siblings)
        if cpu.id in known:
            for other in siblings & unknown:
                votes[other].add(known[cpu.id])
        else:
            votes[cpu.id].update(known[c] for c in siblings & known.keys())
    for cpu_id, packages in votes.items():
        package = _only(packages)
        if package is None:
            raise TopologyError(
                f"{raw.cpu_file(cpu_id, 'topology/physical_package_id')} is missing or -1 "
                f"while other CPUs have one, and the sibling maps name "
                f"{sorted(packages) or 'no package'} for it; "
                "allowed is an id on all online CPUs or on none"
            )
        known[cpu_id] = package
    return known


def _package(raw: RawMachine, cpu: RawCpu) -> int | None:
    if cpu.package is None:
        return None
    text = cpu.package.strip()
    if re.fullmatch(r"-1|\d{1,10}", text, re.ASCII) is None or int(text) > _MAX_PACKAGE:
        raise TopologyError(
            f"{raw.cpu_file(cpu.id, 'topology/physical_package_id')} is {text!r}; "
            f"allowed are -1 (unknown) and 0 to {_MAX_PACKAGE}"
        )
    return None if text == "-1" else int(text)


def _node_cpus(raw: RawMachine, online: CpuSet) -> Mapping[int, CpuSet]:
    """The online CPUs of each NUMA node."""
    cpus: dict[int, CpuSet] = {}
    owner: dict[int, int] = {}
    for node in raw.nodes:
        cpus[node.id] = _cpus_of_node(raw, node, online)
        for cpu in cpus[node.id]:
            if cpu in owner:
                raise TopologyError(
                    f"{raw.node_dir}: online CPU {cpu} is in node{owner[cpu]} and in "
                    f"node{node.id}; a CPU belongs to one NUMA node (the kernel's numa=fake, "
                    "which lists a CPU in several, is not supported)"
                )
            owner[cpu] = node.id
    return cpus


def _cpus_of_node(raw: RawMachine, node: RawNode, online: CpuSet) -> CpuSet:
    linked = node.links & online
    found: tuple[str, CpuSet] | None = None
    for name, text, parse in (
        ("cpulist", node.cpulist, CpuSet.parse),
        ("cpumap", node.cpumap, parse_mask),
    ):
        if text is None:
            continue
        file = raw.node_file(node.id, name)
        cpus = CpuSet(_ids(file, parse, text) & online)
        if found is not None and cpus != found[1]:
            raise TopologyError(
                f"{file} holds online CPUs {str(cpus)!r}, but {found[0]} holds "
                f"{str(found[1])!r}: they must say the same"
            )
        found = file, cpus
    if found is None:
        return CpuSet(linked)
    file, cpus = found
    if extra := linked - cpus:
        raise TopologyError(
            f"{file} holds online CPUs {str(cpus)!r}, but beside it are links to "
            f"{str(CpuSet(extra))!r}: they must be among them"
        )
    return cpus


def _node_memory(raw: RawMachine, node: RawNode) -> int:
    file = raw.node_file(node.id, "meminfo")
    if node.meminfo is None:
        raise TopologyError(f"{file} is missing; each NUMA node has one")
    return _memory(file, node.meminfo, node.id)


def _memory(file: str, text: str, node: int | None = None) -> int:
    """MemTotal in bytes."""
    prefix = "" if node is None else f"Node {node} "
    for line in text.splitlines():
        if "MemTotal" in line:
            pattern = re.escape(prefix).replace(r"\ ", r"\s+") + r"MemTotal:\s*(\d{1,15})\s*kB\s*"
            if m := re.fullmatch(pattern, line.strip(), re.ASCII):
                return int(m[1]) * _KIB
            raise TopologyError(f"{file} has {line.strip()!r}; allowed is '{prefix}MemTotal: N kB'")
    raise TopologyError(f"{file} has no MemTotal line; allowed is '{prefix}MemTotal: N kB'")


def _distances(raw: RawMachine) -> tuple[tuple[int, ...], ...]:
    ids = [n.id for n in raw.nodes]
    if all(n.distance is None for n in raw.nodes):
        return tuple(tuple(LOCAL_DISTANCE if i == j else REMOTE_DISTANCE for j in ids) for i in ids)
    return tuple(_distance_row(raw, n, ids) for n in raw.nodes)


def _distance_row(raw: RawMachine, node: RawNode, ids: list[int]) -> tuple[int, ...]:
    file = raw.node_file(node.id, "distance")
    if node.distance is None:
        raise TopologyError(f"{file} is missing, but other NUMA nodes have one")
    text = node.distance.strip()
    if re.fullmatch(r"\d{1,5}(\s+\d{1,5})*", text, re.ASCII) is None:
        raise TopologyError(f"{file} is {text!r}; allowed are numbers, {len(ids)} of them")
    row = tuple(map(int, text.split()))
    if len(row) == len(ids):
        return row
    # A node that went offline takes its directory along; a row that was written for all
    # possible nodes still has a column for it.
    if raw.possible_nodes is not None:
        possible = _ids(f"{raw.node_dir}/possible", NodeSet.parse, raw.possible_nodes)
        if len(row) == len(possible) and set(ids) <= possible:
            column = dict(zip(possible, row, strict=True))
            return tuple(column[i] for i in ids)
    raise TopologyError(
        f"{file} is {text!r}: {len(row)} numbers; "
        f"allowed are {len(ids)}, one for each nodeN directory"
    )


def _ids(file: str, parse: Callable[[_From], _To], value: _From) -> _To:
    try:
        return parse(value)
    except CpuListError as e:
        raise TopologyError(f"{file}: {e}") from e


def _only(values: set[int]) -> int | None:
    """The one value of a set of one."""
    return next(iter(values)) if len(values) == 1 else None
