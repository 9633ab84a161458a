"""Where the host keeps what the agent reads and writes, below one relocatable root.

The one place that spells ``sys/…``, ``proc/…`` and ``run/…``: a DaemonSet mounts the host's
trees below ``/host``, tests write them below a temporary directory, dumps of other machines
are unpacked somewhere. It deliberately touches no file: it only names them.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Every host path that numapin uses, below ``root``.

    Attributes:
        root: the directory that holds the host's ``sys``, ``proc`` and ``run``.
        cgroup_dir: where the host itself has its cgroup hierarchies, absolute.
        dbus_dir: where the host itself has the system bus's socket, absolute.
    """

    root: Path = Path("/")
    cgroup_dir: Path = Path("/sys/fs/cgroup")
    dbus_dir: Path = Path("/run/dbus")

    @property
    def cpu_dir(self) -> Path:
        """The ``cpuN`` directories, ``online`` and ``possible``."""
        return self.root / "sys/devices/system/cpu"

    @property
    def node_dir(self) -> Path:
        """The ``nodeN`` directories; absent on kernels without NUMA."""
        return self.root / "sys/devices/system/node"

    @property
    def proc(self) -> Path:
        """procfs, as PID 1 of the host sees it."""
        return self.root / "proc"

    @property
    def meminfo(self) -> Path:
        """Memory of the whole machine."""
        return self.proc / "meminfo"

    @property
    def vmstat(self) -> Path:
        """The kernel's own counters of the whole machine."""
        return self.proc / "vmstat"

    @property
    def cpuinfo(self) -> Path:
        """What the kernel knows of each CPU."""
        return self.proc / "cpuinfo"

    @property
    def kernel_release(self) -> Path:
        """What ``uname -r`` prints."""
        return self.proc / "sys/kernel/osrelease"

    @property
    def numa_balancing(self) -> Path:
        """The kernel.numa_balancing sysctl; absent without CONFIG_NUMA_BALANCING."""
        return self.proc / "sys/kernel/numa_balancing"

    @property
    def cgroup(self) -> Path:
        """Where the cgroup hierarchies are mounted."""
        return self.root / self.cgroup_dir.relative_to("/")

    @property
    def dbus_socket(self) -> Path:
        """The system bus, where PID 1 answers."""
        return self.root / self.dbus_dir.relative_to("/") / "system_bus_socket"

    @property
    def state_dir(self) -> Path:
        """The agent's own files: gone after a reboot, just as the cgroups are."""
        return self.root / "run/numapin"

    @property
    def kubelet_dir(self) -> Path:
        """The kubelet's own files; optional: they tell of reserved CPUs, devices, neighbours."""
        return self.root / "var/lib/kubelet"

    @property
    def pod_resources_socket(self) -> Path:
        """Where the kubelet says which pods hold devices (KEP-606)."""
        return self.kubelet_dir / "pod-resources/kubelet.sock"

    @property
    def plugin_registry(self) -> Path:
        """Where plugins of the kubelet register, drivers for resource claims among them."""
        return self.kubelet_dir / "plugins_registry"

    @property
    def btf(self) -> Path:
        """Types of the running kernel."""
        return self.root / "sys/kernel/btf/vmlinux"

    @property
    def hugepages(self) -> Path:
        """Pools of huge pages, a directory for each size; absent without CONFIG_HUGETLBFS."""
        return self.root / "sys/kernel/mm/hugepages"

    @property
    def tracefs(self) -> Path:
        """Where systemd mounts tracefs on kernels from 4.1."""
        return self.root / "sys/kernel/tracing"

    @property
    def event_sources(self) -> Path:
        """What perf_event_open(2) can count, a directory for each kind."""
        return self.root / "sys/bus/event_source/devices"

    @property
    def kprobe_pmu(self) -> Path:
        """The number by which perf_event_open(2) makes kprobes; absent without CONFIG_KPROBES."""
        return self.event_sources / "kprobe/type"
