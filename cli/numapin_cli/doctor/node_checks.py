"""What one machine offers and lacks, judged from facts. Pure: nothing is read here.

It deliberately judges the machine only: whether numapin's agent runs there is the cluster's
business, and needs a cluster to ask.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from numapin_api.topology import Topology
from numapin_cli.doctor.findings import Finding, found
from numapin_cli.doctor.kubelet import KubeletFacts

ASK_AS_ROOT: Final = "run numapin doctor --node as root on the node"
BALANCING_NORMAL: Final = 1
"""NUMA_BALANCING_NORMAL of include/linux/sched/sysctl.h; 2 is memory tiering alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What was found on a machine.

    Attributes:
        topology: sockets and NUMA nodes; None when it can't be read.
        topology_problem: why it can't.
        balancing: the sysctl kernel.numa_balancing; None when the kernel has none.
        cgroup_version: 2 for the unified hierarchy only.
        cgroup_driver: the kubelet's, by the names of its directories.
        cgroup_problem: why pods' cgroups can't be used; None when they can.
        cpuset_delegated: whether pods' cgroups have the cpuset controller; None unknown.
        dbus: whether the system bus is there, over which systemd is asked.
        kernel: release.
        btf: whether the kernel tells its types.
        lockdown: mode in force (none, integrity, confidentiality); None when not built in, or
            securityfs is not mounted.
        psi: whether the kernel tells pressure.
        kubelet: how it manages CPUs.
        processes_seen: whether the machine's processes could be listed.
        tools: other pinning tools that run here.
        nri_plugins: NRI plugins that the runtime starts by itself.
        unread: files that the reader was not allowed to see.
    """

    topology: Topology | None
    topology_problem: str = ""
    balancing: int | None = None
    cgroup_version: int = 2
    cgroup_driver: str = "unknown"
    cgroup_problem: str | None = None
    cpuset_delegated: bool | None = None
    dbus: bool = True
    kernel: str = ""
    btf: bool = True
    lockdown: str | None = None
    psi: bool = True
    kubelet: KubeletFacts = KubeletFacts()  # noqa: RUF009 (immutable)
    processes_seen: bool = True
    tools: tuple[str, ...] = ()
    nri_plugins: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def examine(facts: NodeFacts) -> list[Finding]:
    """Every check of a node, in the order in which people read them."""
    return [
        *_sockets(facts),
        _balancing(facts),
        _cgroup(facts),
        *_cpuset(facts),
        *_dbus(facts),
        *_ebpf(facts),
        _cpu_manager(facts),
        _memory_manager(facts),
        _topology_manager(facts),
        _tools(facts),
        _psi(facts),
        *_unread(facts),
    ]


def _sockets(facts: NodeFacts) -> Iterator[Finding]:
    topology = facts.topology
    if topology is None:
        yield found(
            "sockets",
            "fail",
            facts.topology_problem,
            "numapin pins nothing here; look at the file named, and at the firmware's settings",
        )
        return
    said = "; ".join(f"socket {s.id}: CPUs {s.cpus}" for s in topology.sockets)
    if len(topology.sockets) < 2:
        yield found(
            "sockets",
            "warn",
            f"one socket only ({said}): no pod can be kept away from another",
            "nothing to gain on this node, unless a policy has granularity NumaNode and the "
            "socket holds several NUMA nodes (SNC, NPS)",
        )
        return
    yield found("sockets", "ok", said)
    bare = [str(s.id) for s in topology.sockets if not topology.mems(s.id)]
    if bare:
        yield found(
            "numaNodes",
            "warn",
            f"no NUMA node with memory belongs to socket {', '.join(bare)} alone",
            "memory can't be bound there: switch node interleaving off in the firmware, or use "
            "memory: None",
        )


def _balancing(facts: NodeFacts) -> Finding:
    value = facts.balancing
    if value is None:
        return found(
            "numaBalancing",
            "warn",
            "the kernel has no NUMA balancing (CONFIG_NUMA_BALANCING)",
            "pins work; verdicts stay NoSignal, since the kernel samples nothing",
        )
    if value & BALANCING_NORMAL:
        return found("numaBalancing", "ok", f"kernel.numa_balancing is {value}")
    return found(
        "numaBalancing",
        "warn",
        f"kernel.numa_balancing is {value}: the kernel samples and migrates nothing",
        "sysctl kernel.numa_balancing=1, or pins can't be verified (NoSignal)",
    )


def _cgroup(facts: NodeFacts) -> Finding:
    if facts.cgroup_version != 2:
        return found(
            "cgroup",
            "fail",
            f"cgroup version: {facts.cgroup_problem}",
            "boot with systemd.unified_cgroup_hierarchy=1; until then numapin touches nothing here",
        )
    if facts.cgroup_problem:
        return found(
            "cgroup",
            "warn",
            facts.cgroup_problem,
            "start the kubelet; on a machine that is no Kubernetes node this is as it should be",
        )
    return found("cgroup", "ok", f"cgroup v2, driver {facts.cgroup_driver}")


def _cpuset(facts: NodeFacts) -> Iterator[Finding]:
    if facts.cpuset_delegated is False:
        yield found(
            "cpusetController",
            "fail",
            "pods' cgroups lack the cpuset controller",
            "add cpuset to cgroup.subtree_control of each cgroup above the kubelet's; the kubelet "
            "does so itself unless something took it away",
        )
    elif facts.cpuset_delegated:
        yield found("cpusetController", "ok", "pods' cgroups have the cpuset controller")


def _dbus(facts: NodeFacts) -> Iterator[Finding]:
    if facts.cgroup_driver != "systemd":
        return
    if facts.dbus:
        yield found("dbus", "ok", "the system bus is there, over which systemd is asked")
    else:
        yield found(
            "dbus",
            "fail",
            "the kubelet uses the systemd driver, but there is no /run/dbus/system_bus_socket",
            "start dbus.socket: numapin has systemd itself set the cpusets of pods' slices",
        )


def _ebpf(facts: NodeFacts) -> Iterator[Finding]:
    yield (
        found("kernel", "ok", f"Linux {facts.kernel}")
        if facts.kernel
        else found("kernel", "unknown", "the kernel's release can't be read", ASK_AS_ROOT)
    )
    if facts.btf:
        yield found("btf", "ok", "the kernel tells its types (/sys/kernel/btf/vmlinux)")
    else:
        yield found(
            "btf",
            "warn",
            "there is no /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)",
            "pins work without eBPF counters; use a kernel with BTF to have pins Measured",
        )
    if facts.lockdown == "confidentiality":
        yield found(
            "lockdown",
            "warn",
            "kernel lockdown is confidentiality: eBPF may not read kernel memory",
            "pins work without eBPF counters; boot with lockdown=integrity to have them",
        )
    else:
        mode = "is not seen" if facts.lockdown is None else f"({facts.lockdown}) lets eBPF count"
        yield found("lockdown", "ok", f"kernel lockdown {mode}")


def _cpu_manager(facts: NodeFacts) -> Finding:
    policy, exclusive = facts.kubelet.cpu_manager, facts.kubelet.exclusive_cpus
    if policy is None:
        return _unknown("cpuManager", "the CPU manager's policy is not known")
    if policy != "static":
        return found("cpuManager", "ok", f"the kubelet's CPU manager policy is {policy}")
    given = f"CPUs {exclusive} are given out" if exclusive else "none is given out now"
    return found(
        "cpuManager",
        "warn",
        f"the kubelet's CPU manager policy is static ({given}): it owns the CPUs of Guaranteed "
        "pods with whole CPUs",
        "don't label such pods: numapin stands back from them with Conflict; all others can be "
        "pinned",
    )


def _memory_manager(facts: NodeFacts) -> Finding:
    policy = facts.kubelet.memory_manager
    if policy is None:
        return _unknown("memoryManager", "the memory manager's policy is not known")
    if policy.lower() == "none":
        return found("memoryManager", "ok", f"the kubelet's memory manager policy is {policy}")
    return found(
        "memoryManager",
        "warn",
        f"the kubelet's memory manager policy is {policy}: it binds the memory of Guaranteed pods",
        "don't label Guaranteed pods on this node",
    )


def _topology_manager(facts: NodeFacts) -> Finding:
    policy = facts.kubelet.topology_manager
    if policy is None:
        return _unknown("topologyManager", "the topology manager's policy is not known")
    # It decides where others' CPUs and devices go, and writes no cpuset by itself.
    return found("topologyManager", "ok", f"the kubelet's topology manager policy is {policy}")


def _unknown(check: str, message: str) -> Finding:
    return found(
        check,
        "unknown",
        f"{message}: no kubelet's configuration or state could be read",
        f"{ASK_AS_ROOT}; where the kubelet's files lie elsewhere, name them with --kubelet-dir",
    )


def _tools(facts: NodeFacts) -> Finding:
    tools = (*facts.tools, *(f"NRI plugin {p}" for p in facts.nri_plugins))
    if not tools and not facts.processes_seen:
        return found(
            "otherTools", "unknown", "no process could be seen: proc is not the host's", ASK_AS_ROOT
        )
    if not tools:
        return found("otherTools", "ok", "no other pinning tool that is known runs here")
    return found(
        "otherTools",
        "warn",
        f"{', '.join(tools)}: may write cpusets of containers",
        "let one tool decide about a pod: numapin stands back with Conflict where they disagree",
    )


def _psi(facts: NodeFacts) -> Finding:
    if facts.psi:
        return found("psi", "ok", "the kernel tells pressure (PSI)")
    return found(
        "psi",
        "warn",
        "the kernel tells no pressure (/proc/pressure)",
        "numapin does without; boot with psi=1 to see whether a Strict pin makes a pod reclaim",
    )


def _unread(facts: NodeFacts) -> Iterator[Finding]:
    if facts.unread:
        yield found(
            "access", "unknown", f"not allowed to read {', '.join(facts.unread)}", ASK_AS_ROOT
        )
