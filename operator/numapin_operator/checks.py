"""The single checks behind a verdict, each with the number found and the number wanted.

Pure. Each check looks at one thing and says so in words that `numapin explain` prints as
they are. What the checks mean together is in ``verdict``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.locality import IMMOVABLE_BYTES, home, resident_enough
from numapin_api.node import Level, NumaNodeStatus
from numapin_api.pin import (
    IDLE_CPU_SHARE,
    MIN_HINT_FAULT_PAGES,
    Borrowed,
    Counters,
    NumaPinSpec,
    Observed,
)
from numapin_api.policy import seconds
from numapin_api.topology import Topology
from numapin_operator.text import ending, listed, size

WINDOW_SLACK_SECONDS: Final = 1.0
"""Windows are cut at the agent's ticks, so one may be a little short."""
SHOWN_PODS: Final = 3
"""That a message names of those that map a file; the NumaPin has more."""
SKIPS_ONE_NODE_CPUSETS: Final = (6, 16)
"""From this kernel on task_numa_work returns early for a one-node cpuset.mems
(tracepoint sched_skip_cpuset_numa). Used to name a cause only, never to decide."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: short and stable, for programs.
        ok: None when it can't be answered, or does not count here.
        found: what was found, with unit.
        wanted: what had to be found.
        message: the answer as a sentence.
    """

    name: str
    ok: bool | None
    found: str
    wanted: str
    message: str


@dataclass(frozen=True, slots=True)
class Eyes:
    """What can be seen on a pod's node.

    Attributes:
        topology: None while unknown.
        numa_balancing: whether the kernel's NUMA balancing is on.
        levels: how each signal is had; one that is missing here is not known yet.
        reasons: why a signal is missing or lower than best.
        kernel: release, such as ``6.12.117``.
    """

    topology: Topology | None = None
    numa_balancing: bool = True
    levels: Mapping[str, Level] | None = None
    reasons: Mapping[str, str] | None = None
    kernel: str = ""

    def level(self, signal: str) -> Level:
        """How a signal is had; ``none`` when nothing is known, which ``told`` tells apart."""
        return (self.levels or {}).get(signal, "none")

    def why(self, signal: str) -> str:
        """Why a signal is missing."""
        return (self.reasons or {}).get(signal, "the agent does not report it")

    @property
    def told(self) -> bool:
        """Whether the agent has said how migrations and hint faults are counted, or why not.

        One that has just started does not know yet.
        """
        return {"numaMigrations", "hintFaults"} <= (self.levels or {}).keys()

    @property
    def blind(self) -> bool:
        """Whether neither migrations nor hint faults can be counted there."""
        return self.level("numaMigrations") == self.level("hintFaults") == "none"

    @property
    def skips_one_node(self) -> bool:
        """Whether this kernel is known not to scan pods that are bound to one NUMA node.

        It says so by a tracepoint; by its release only where the agent can't attach to that.
        """
        if self.level("scannerSkips") != "none":
            return True
        m = re.match(r"(\d+)\.(\d+)", self.kernel)
        return m is not None and (int(m[1]), int(m[2])) >= SKIPS_ONE_NODE_CPUSETS


def eyes(status: NumaNodeStatus | None) -> Eyes:
    """What a NumaNode says about itself.

    Raises:
        CpuListError: its topology has a malformed cpulist.
    """
    if status is None:
        return Eyes()
    topology = None if status.topology is None else status.topology.value()
    capabilities = status.capabilities
    if capabilities is None:
        return Eyes(topology=topology)
    return Eyes(
        topology=topology,
        numa_balancing=capabilities.numa_balancing,
        levels={s.name: s.level for s in capabilities.signals},
        reasons={s.name: s.reason for s in capabilities.signals if s.reason},
        kernel=capabilities.kernel,
    )


def _outside(found: str, allowed: str) -> CpuSet:
    return CpuSet(CpuSet.parse(found) - CpuSet.parse(allowed))


def cpus(spec: NumaPinSpec, observed: Observed) -> Check:
    """cpuset.cpus.effective of the pod lies within the pin."""
    wanted = spec.cpus or ""
    if observed.effective is None:
        return Check("cpus", None, "unknown", f"within {wanted}", "the cpuset was not read back")
    found = observed.effective.cpus
    beyond = _outside(found, wanted)
    ok = not beyond and bool(found)
    return Check(
        "cpus",
        ok,
        found,
        f"within {wanted}",
        f"the pod runs on CPUs {found}, all of them within {wanted}"
        if ok
        else f"the pod may run on CPUs {found}; {beyond or 'none'} lie outside {wanted}",
    )


def mems(spec: NumaPinSpec, observed: Observed) -> Check:
    """cpuset.mems.effective of the pod is the pin's; Preferred may have been widened."""
    if spec.mems is None:
        return Check("mems", None, "not bound", "not bound", "only CPUs are pinned")
    if observed.effective is None:
        return Check("mems", None, "unknown", spec.mems, "the cpuset was not read back")
    found, wanted = NodeSet.parse(observed.effective.mems), NodeSet.parse(spec.mems)
    if spec.memory == "Preferred" and found > wanted:
        return Check(
            "mems",
            None,
            str(found),
            f"{wanted} while there is room",
            f"memory may come from NUMA nodes {found}: Preferred was widened from {wanted}",
        )
    ok = found == wanted
    return Check(
        "mems",
        ok,
        str(found),
        str(wanted),
        f"memory comes from NUMA nodes {found}"
        if ok
        else f"memory may come from NUMA nodes {found}, not {wanted}",
    )


def containers(spec: NumaPinSpec, observed: Observed) -> Check:
    """No container's own cpuset reaches outside the pin."""
    wanted = f"within {spec.cpus}" + (f", memory within {spec.mems}" if spec.mems else "")
    beyond = [
        c
        for c in observed.containers
        if _outside(c.cpus, spec.cpus or "")
        or (spec.mems and spec.memory == "Strict" and _outside(c.mems, spec.mems))
    ]
    if not observed.containers:
        return Check("containers", None, "none", wanted, "no container was seen yet")
    if beyond:
        found = listed(f"{c.name}: CPUs {c.cpus}, memory {c.mems}" for c in beyond)
        return Check("containers", False, found, wanted, f"outside the pin: {found}")
    found = listed(f"{c.name}: {c.cpus}" for c in observed.containers)
    return Check("containers", True, found, wanted, f"every container is inside ({found})")


def residency(spec: NumaPinSpec, observed: Observed, topology: Topology | None) -> Check:
    """Enough of the resident memory is on the pin's NUMA nodes."""
    least = spec.verification.min_local_percent
    wanted = f">= {least}%"
    nodes = home(spec, topology)
    share = local_percent(spec, observed, topology)
    if share is None:
        why = "no memory figures yet" if nodes else "the socket has no NUMA node of its own"
        return Check("residency", None, "unknown", wanted, why)
    total = sum(m.bytes for m in observed.memory)
    local = sum(m.bytes for m in observed.memory if m.node in nodes)
    enough = resident_enough(spec, observed, nodes)
    little = share < least and enough
    return Check(
        "residency",
        enough,
        f"{share:.1f}% ({size(local)} of {size(total)})",
        wanted,
        f"{share:.1f}% of the memory ({size(local)} of {size(total)}) is on NUMA nodes {nodes}"
        + (f"; {size(total - local)} elsewhere is no more than can't be moved" if little else "")
        + ("" if enough else left_behind(observed, nodes))
        + beyond_it(observed, nodes),
    )


def left_behind(observed: Observed, nodes: NodeSet) -> str:
    """What of the memory elsewhere no pin moves: ``; of the rest …``, empty if none of it.

    Neither move_pages(2) nor a write of cpuset.mems reaches pages that no process maps.

    Args:
        observed: what the agent saw.
        nodes: the pin's NUMA nodes.
    """
    elsewhere = [m for m in observed.memory if m.node not in nodes]
    kinds = (
        (sum(m.page_cache or 0 for m in elsewhere), "page cache"),
        (sum(m.shared or 0 for m in elsewhere), "tmpfs or shared memory"),
    )
    named = [f"{size(amount)} is {kind}" for amount, kind in kinds if amount > IMMOVABLE_BYTES]
    if not named:
        return ""
    return f"; of the rest {' and '.join(named)}, which stays where it was first touched"


def beyond_it(observed: Observed, nodes: NodeSet) -> str:
    """Files elsewhere that the pod uses and others are charged for, ``; beyond it about …``.

    An estimate, which no verdict rests on; empty where there are none.

    Args:
        observed: what the agent saw.
        nodes: the pin's NUMA nodes.
    """
    found = [b for b in observed.borrowed if b.node not in nodes]
    if not found:
        return ""
    total, where = sum(b.bytes for b in found), NodeSet({b.node for b in found})
    several = len(found) > 1
    files = listed(
        (f"{size(b.bytes)} of " if several else "") + f"{ending(b.path)} ({users(b)})"
        for b in found
    )
    node = "NUMA nodes" if len(where) > 1 else "NUMA node"
    return (
        f"; beyond it about {size(total)} of files that others are charged for is on "
        f"{node} {where}: {files}"
    )


def users(file: Borrowed) -> str:
    """Who else maps a file: ``mapped by pod web-1, too``."""
    names = file.pods[:SHOWN_PODS]
    more = len(file.pods) - len(names) + file.others
    if not names:
        return (
            f"mapped by {more} other pod{'s' * (more > 1)}, too" if more else "no other pod maps it"
        )
    plural = "s" if len(names) + more > 1 else ""
    rest = f" and {more} more" if more else ""
    return f"mapped by pod{plural} {', '.join(names)}{rest}, too"


def local_percent(spec: NumaPinSpec, observed: Observed, topology: Topology | None) -> float | None:
    """Share of the resident memory on the pin's NUMA nodes, one decimal, rounded down.

    Rounded down so that 94.96 % is never shown as the 95.0 % that it is not.
    """
    nodes = home(spec, topology)
    total = sum(m.bytes for m in observed.memory)
    if not nodes or not total:
        return None
    return sum(m.bytes for m in observed.memory if m.node in nodes) * 1000 // total / 10


def crossing(counters: Counters, level: Level) -> float:
    """NUMA-balancing migrations between sockets per second.

    cgroup files (memory.stat) don't tell direction, so there every migration counts.
    """
    pages = counters.migrated_pages if level == "cgroup" else counters.cross_socket_migrated_pages
    return round(pages / counters.seconds, 1) if counters.seconds else 0.0


def migrations(spec: NumaPinSpec, counters: Counters | None, seen: Eyes) -> Check:
    """NUMA balancing moves no more pages between sockets than allowed."""
    most = spec.verification.max_cross_socket_pages_per_second
    wanted = f"<= {most} pages/s"
    level = seen.level("numaMigrations")
    if level == "none":
        why = seen.why("numaMigrations")
        return Check("migrations", None, "not counted", wanted, f"not counted: {why}")
    if counters is None:
        return Check("migrations", None, "unknown", wanted, "no whole window yet")
    rate = crossing(counters, level)
    kind = "NUMA migrations (direction unknown)" if level == "cgroup" else "cross-socket migrations"
    return Check(
        "migrations",
        rate <= most,
        f"{rate:.1f} pages/s",
        wanted,
        f"{kind}: {rate:.1f} pages/s over {counters.seconds:.0f} s",
    )


def hint_faults(
    spec: NumaPinSpec, observed: Observed, counters: Counters | None, seen: Eyes
) -> Check:
    """Enough sampled page faults, and enough of them local.

    ``ok`` is None with the cause in the message where samples are not valid: one thread
    (mm/mprotect.c skips local pages of single-threaded processes), too few, or none.
    """
    least = spec.verification.min_local_percent
    wanted = f">= {least}% of at least {MIN_HINT_FAULT_PAGES} pages"
    if seen.level("hintFaults") == "none":
        why = seen.why("hintFaults")
        return Check("hintFaults", None, "not counted", wanted, f"not counted: {why}")
    if seen.level("hintFaults") == "cgroup":
        why = f"local and remote are not told apart: {seen.why('hintFaults')}"
        return Check("hintFaults", None, "not told apart", wanted, why)
    if counters is None:
        return Check("hintFaults", None, "unknown", wanted, "no whole window yet")
    local, remote = counters.hint_fault_pages_local, counters.hint_fault_pages_remote
    pages = local + remote
    share = local * 1000 // pages / 10 if pages else 0.0
    found = f"{share:.1f}% of {pages} pages" if pages else "no samples"
    if observed.threads is not None and observed.threads <= 1:
        why = "the pod's processes have one thread: the kernel does not sample their local pages"
        return Check("hintFaults", None, found, wanted, why)
    if pages < MIN_HINT_FAULT_PAGES:
        one = spec.mems is not None and len(NodeSet.parse(spec.mems)) == 1
        skips = counters.scanner_skips
        passed = f", and passed over this one {skips} times" if skips else ""
        why = (
            f"kernel {seen.kernel} does not sample pods that are bound to one NUMA node{passed}"
            if one and seen.skips_one_node
            else f"the kernel sampled {pages} pages, fewer than {MIN_HINT_FAULT_PAGES}"
        )
        return Check("hintFaults", None, found, wanted, why)
    return Check(
        "hintFaults",
        share >= least,
        found,
        wanted,
        f"{share:.1f}% of {pages} sampled pages were local to the CPU that touched them",
    )


def activity(counters: Counters | None) -> Check:
    """The pod did something in the window, so that silence means something."""
    wanted = f">= {IDLE_CPU_SHARE:.1%} of a CPU"
    if counters is None or not counters.seconds:
        return Check("activity", None, "unknown", wanted, "no whole window yet")
    share = counters.cpu_nanoseconds / 1e9 / counters.seconds
    return Check(
        "activity",
        share >= IDLE_CPU_SHARE,
        f"{share:.1%} of a CPU",
        wanted,
        f"the pod used {share:.1%} of a CPU over {counters.seconds:.0f} s",
    )


def window(spec: NumaPinSpec, counters: Counters | None) -> Check:
    """A whole verification window was counted since the pin."""
    wanted = f"{seconds(spec.verification.window)} s"
    if counters is None:
        return Check("window", None, "0 s", wanted, f"a window of {wanted} is not over yet")
    ok = counters.seconds + WINDOW_SLACK_SECONDS >= seconds(spec.verification.window)
    return Check(
        "window",
        ok or None,
        f"{counters.seconds:.0f} s",
        wanted,
        f"counted {counters.seconds:.0f} s of {wanted}",
    )
