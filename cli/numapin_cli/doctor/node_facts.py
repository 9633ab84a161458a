"""Reads what the doctor wants to know of a machine, below a relocatable root.

Reads only, never stops at a file that it may not see: the name of that file is a fact, too.
In the agent's container the root is /host, where some of the kernel's own files are not
mounted; those are read from the container's own /sys and /proc, if it is the same kernel.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from numapin_agent.cgroup import CgroupHost
from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import read_topology
from numapin_api.errors import TopologyError
from numapin_cli.doctor import tools
from numapin_cli.doctor.kubelet import flag, kubelet_facts
from numapin_cli.doctor.node_checks import NodeFacts

_AT: Final = HostPaths(Path())
"""The agent's names of files, relative to whatever root."""
_BOOT_ID: Final = Path("proc/sys/kernel/random/boot_id")
_LOCKDOWN: Final = Path("sys/kernel/security/lockdown")
_PRESSURE: Final = Path("proc/pressure/memory")
_NRI_PLUGINS: Final = Path("opt/nri/plugins")
"""Where containerd and CRI-O look for plugins to start (docs/NRI.md of both)."""
MOST_BYTES: Final = 1 << 20


class Reader:
    """Reads small files below a root and remembers which it was not allowed to.

    Args:
        root: holds the machine's sys, proc, run and var.
        own: holds the same of this very process, for what is not mounted below root.
    """

    def __init__(self, root: Path, *, own: Path = Path("/")) -> None:
        self.root = root
        self.denied: list[str] = []
        boot = self.text(_BOOT_ID)
        same = boot is not None and boot == Reader.plain(own / _BOOT_ID)
        self._roots = (root, own) if same and root != own else (root,)

    @staticmethod
    def plain(path: Path) -> str | None:
        """A file's text, None when it is not there or may not be read."""
        try:
            with path.open("rb") as file:
                return file.read(MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            return None

    def text(self, name: Path) -> str | None:
        """A file's text below the root; None when there is none to be had."""
        path = self.root / name
        try:
            with path.open("rb") as file:
                return file.read(MOST_BYTES).decode("utf-8", "replace")
        except PermissionError:
            self.denied.append(str(path))
        except OSError:
            pass
        return None

    def kernels(self, name: Path) -> Path | None:
        """A file that is the kernel's, not a mount's: the first that is there."""
        return next((r / name for r in self._roots if self._there(r / name)), None)

    def there(self, name: Path) -> bool:
        """Whether something of that name is below the root."""
        return self._there(self.root / name)

    def names(self, name: Path) -> tuple[str, ...]:
        """Names in a directory below the root; none when there is none."""
        try:
            return tuple(sorted(p.name for p in (self.root / name).iterdir()))
        except PermissionError:
            self.denied.append(str(self.root / name))
        except OSError:
            pass
        return ()

    def _there(self, path: Path) -> bool:
        try:
            path.lstat()
        except PermissionError:
            self.denied.append(str(path))
        except OSError:
            return False
        else:
            return True
        return False


def gather(
    root: Path = Path("/"), *, kubelet_dir: Path = _AT.kubelet_dir, own: Path = Path("/")
) -> NodeFacts:
    """Look at a machine.

    Args:
        root: holds its sys, proc, run and var.
        kubelet_dir: the kubelet's directory below the root.
        own: the same of this process, see ``Reader``.
    """
    read, paths = Reader(root, own=own), HostPaths(root)
    topology, problem = None, ""
    try:
        topology = read_topology(paths)
    except TopologyError as e:
        problem = str(e)
    cgroups = CgroupHost.discover(paths)
    commands = list(_commands(read))
    kubelet = next((c for c in commands if _base(c[0]) == "kubelet"), ())
    where = _below(kubelet_dir)
    said = flag(kubelet, "config")
    config = _below(Path(said)) if said else where / "config.yaml"
    lockdown = read.kernels(_LOCKDOWN)
    sockets = {whose for name, whose in tools.SOCKETS.items() if read.there(Path(name))}
    return NodeFacts(
        topology=topology,
        topology_problem=problem,
        balancing=_number(read.text(_AT.numa_balancing)),
        cgroup_version=cgroups.version,
        cgroup_driver=cgroups.driver,
        cgroup_problem=cgroups.problem,
        cpuset_delegated=_delegated(cgroups.root),
        dbus=read.there(_AT.dbus_socket),
        kernel=(read.text(_AT.kernel_release) or "").strip(),
        btf=read.kernels(_AT.btf) is not None,
        lockdown=_chosen(Reader.plain(lockdown)) if lockdown else None,
        psi=read.there(_PRESSURE),
        kubelet=kubelet_facts(
            arguments=kubelet,
            config=read.text(config),
            cpu_state=read.text(where / "cpu_manager_state"),
            memory_state=read.text(where / "memory_manager_state"),
        ),
        processes_seen=bool(commands),
        tools=tuple(sorted({*tools.running(c[0] for c in commands), *sockets})),
        nri_plugins=read.names(_NRI_PLUGINS),
        unread=tuple(dict.fromkeys(read.denied)),
    )


def _commands(read: Reader) -> Iterator[tuple[str, ...]]:
    """The command line of each process; kernel threads and those that ended have none."""
    for name in read.names(_AT.proc):
        if name.isdecimal():
            line = Reader.plain(read.root / _AT.proc / name / "cmdline")
            if line:
                yield tuple(line.rstrip("\0").split("\0"))


def _below(path: Path) -> Path:
    """A path of the host, to be looked up below another root."""
    return path.relative_to("/") if path.is_absolute() else path


def _base(command: str) -> str:
    return command.rpartition("/")[2]


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _chosen(text: str | None) -> str | None:
    """The word in brackets of ``[none] integrity confidentiality``."""
    return None if text is None else text.partition("[")[2].partition("]")[0] or None


def _delegated(kubepods: Path | None) -> bool | None:
    text = None if kubepods is None else Reader.plain(kubepods / "cgroup.subtree_control")
    return None if text is None else "cpuset" in text.split()
