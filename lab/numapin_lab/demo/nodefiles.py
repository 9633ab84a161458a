"""The kernel's own files on the node, as one text stream, second by second.

Beside the agent's counters stands what the kernel itself says of where each pod's memory
lies: memory.numa_stat. One shell loop on the node prints them through one ssh
connection; this module writes that loop and reads its output. It runs neither.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_LINE = re.compile(r"(?P<path>/[^:]+):(?P<key>\w+) (?P<rest>.*)")
_NODE = re.compile(r"N(\d+)=(\d+)")
MEMORY_KEYS = ("anon", "file")
"""Of memory.numa_stat: what user space owns. shmem, file_mapped and anon_thp are parts of these."""


@dataclass(frozen=True, slots=True)
class NodeReading:
    """One pass of the loop.

    Attributes:
        memory: resident bytes by pod UID and NUMA node.
    """

    memory: Mapping[str, Mapping[int, int]]


def slice_glob(uid: str) -> str:
    """Where a pod's cgroup lies under either cgroup driver.

    systemd writes the UID with underscores (kubelet, cgroup_manager_linux.go).

    Raises:
        ValueError: not a UID, so it must not get into a shell.
    """
    if re.fullmatch(r"[0-9a-fA-F-]{1,64}", uid) is None:
        raise ValueError(f"{uid!r} is no pod UID")
    escaped = uid.replace("-", "_")
    return (
        f"/sys/fs/cgroup/kubepods.slice/*pod{escaped}.slice/memory.numa_stat"
        f" /sys/fs/cgroup/kubepods.slice/*/*pod{escaped}.slice/memory.numa_stat"
        f" /sys/fs/cgroup/kubepods/pod{uid}/memory.numa_stat"
        f" /sys/fs/cgroup/kubepods/*/pod{uid}/memory.numa_stat"
    )


def loop_script(uids: Iterable[str], every_seconds: float = 1) -> str:
    """The shell loop that prints one pass after the other until its output is closed.

    The globs are expanded at each pass, so a pod's cgroup may come and go. One grep a pass
    keeps it cheap where the machine is emulated.
    """
    globs = " ".join(slice_glob(uid) for uid in uids)
    wanted = "|".join(MEMORY_KEYS)
    return (
        f"while echo @; do grep -H -s -E '^({wanted}) ' {globs}; "
        f"echo .; sleep {shlex.quote(str(every_seconds))} || break; done"
    )


def uid_of(path: str) -> str | None:
    """The pod UID in a cgroup path; None if there is none."""
    m = re.search(r"pod([0-9a-fA-F]{8}[0-9a-fA-F_-]*)(?:\.slice)?/memory\.numa_stat$", path)
    return m[1].replace("_", "-") if m else None


def readings(lines: Iterable[str]) -> Iterator[NodeReading]:
    """Each pass that is whole, from its ``@`` to its full stop."""
    memory: dict[str, dict[int, int]] | None = None
    for line in lines:
        text = line.rstrip("\n")
        if text == "@":
            memory = {}
        elif text == ".":
            if memory is not None:
                yield NodeReading(memory)
            memory = None
        elif (
            memory is not None
            and (m := _LINE.fullmatch(text))
            and m["key"] in MEMORY_KEYS
            and (uid := uid_of(m["path"]))
        ):
            per_node = memory.setdefault(uid, {})
            for node, size in _NODE.findall(m["rest"]):
                per_node[int(node)] = per_node.get(int(node), 0) + int(size)
