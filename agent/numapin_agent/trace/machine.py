"""What a trace reads of the machine beside its maps: names of processes, files, interrupts.

The edge to procfs. All of it can vanish at any moment: then there is no name, never an error.
Files of containers are opened below the container's own root, see ``kernel.open_in_root``.
"""

import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from numapin_agent.trace import kernel
from numapin_agent.trace.met import Met, both, start_time
from numapin_agent.trace.procfs import LARGEST, Processes
from numapin_agent.trace.sockets import Sockets
from numapin_agent.trace.symbols import (
    LARGEST_TABLE,
    UNKNOWN,
    Elf,
    ElfError,
    Region,
    Symbols,
    TooLargeError,
    elf,
    kernel_symbols,
    perf_map,
    regions,
)

_ELVES: Final = 256
"""Programs and libraries kept in memory during one trace."""
_SYMBOL_BYTES: Final = 32 << 20
"""Of all of them and of perf maps; a trace's process may take 128 MiB."""
_REGIONS: Final = 100_000
"""Executable regions of all processes; some MiB."""
_NO_FILES: Final = ("/memfd:", "/dev/zero", "/anon_hugepage", "/SYSV")
"""So begin the names of shared memory that is no file (mm/memfd.c, mm/shmem.c, ipc/shm.c); it may
hold code made at run time.
"""
ENDED: Final = "[ended processes]"
"""Name of all that had ended before they were met; none of them tells anything by its number."""


def _text(path: Path) -> str:
    """A file of procfs. What a process says in it need not be UTF-8; that is replaced."""
    return path.read_text(encoding="utf-8", errors="replace")


_NOT_MET: Final = Met(ENDED, "")


class Machine:
    """Names of one machine, remembered for one trace.

    Args:
        proc: the host's procfs.
        sockets: of NUMA nodes, as far as they are known.
        cgroup: whose processes, and no others, are told of; None is the whole machine.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        proc: Path,
        sockets: Mapping[int, int | None] = MappingProxyType({}),
        cgroup: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._clock = clock
        self._processes = Processes(proc, cgroup)
        self._sockets = sockets
        self._connected = Sockets()
        self._met: dict[int, Met] = {}
        self._elves: dict[tuple[int, int], Elf] = {}
        self._by_path: dict[tuple[int, str], Elf | None] = {}
        self._perf_maps: dict[int, Symbols] = {}
        self._room = _SYMBOL_BYTES
        self._regions_left = _REGIONS
        self._interrupts: dict[int, str] | None = None
        self._too_large: dict[str, None] = {}
        self._forbidden: dict[str, None] = {}
        self.kernel = Symbols()

    def load_kernel(self) -> None:
        """Read the kernel's symbols; none where they are hidden from us."""
        try:
            with (self._proc / "kallsyms").open(errors="replace") as lines:
                self.kernel = kernel_symbols(lines)
        except OSError:
            self.kernel = Symbols()

    def meet(self, tgid: int, *, last: bool = False) -> None:
        """Note a process while it lives: its name and what it has mapped.

        Looks at one that is known again after a while, as it may have become another program.

        Args:
            tgid: its number.
            last: look at it however short ago it was looked at.
        """
        known, now = self._met.get(tgid), self._clock()
        if known is not None and not last and now < known.due:
            return
        maps = b""
        try:
            with self._processes.open(tgid) as process:
                name = process.text("comm").strip()
                started = start_time(process.text("stat"))
                with suppress(OSError):  # the right to see it may be missing
                    maps = process.read("maps", LARGEST)
        except OSError:
            if known is not None:
                known.again(now)
            return
        if known is None:
            known = self._met[tgid] = Met(name, started, first=now)
        elif started != known.started:
            known.due = math.inf  # another one has its number: nothing of it is told under that
            return
        known.again(now)
        known.name = name
        found = regions(os.fsdecode(maps[: maps.rfind(b"\n") + 1]))
        every = both(found, known.regions)
        kept = every[: len(known.regions) + self._regions_left]
        if len(maps) >= LARGEST or len(every) > len(kept):
            self._too_large[f"process {name}"] = None
        self._regions_left -= len(kept) - len(known.regions)
        known.regions = kept

    def process(self, tgid: int) -> str:
        """A process' name, or ``ENDED`` if it was not met alive."""
        if tgid == 0:
            return "idle"
        return self._known(tgid).name

    def _known(self, tgid: int) -> Met:
        if tgid not in self._met:
            self.meet(tgid)
        return self._met.get(tgid, _NOT_MET)

    def alive(self, thread: int) -> bool:
        """Whether a thread is still there."""
        return (self._proc / str(thread)).exists()

    def descriptor(self, tgid: int, fd: int) -> str:
        """What a descriptor stands for: a path, or a socket with its addresses."""
        try:
            with self._processes.open(tgid) as process:
                told = os.readlink(f"fd/{fd}", dir_fd=process.fd)
                socket = re.fullmatch(r"socket:\[(\d+)\]", told)
                if socket is None:
                    return told
                return self._connected.find(process, socket[1]) or f"socket {socket[1]}"
        except OSError:
            return f"descriptor {fd}"

    def interrupts(self) -> dict[int, str]:
        """Devices by interrupt number, read once: on big machines it is a file of megabytes."""
        if self._interrupts is None:
            self._interrupts = self._read_interrupts()
        return self._interrupts

    def _read_interrupts(self) -> dict[int, str]:
        try:
            lines = _text(self._proc / "interrupts").splitlines()
        except OSError:
            return {}
        if not lines:
            return {}  # masked, as container runtimes do with a container's own /proc
        cpus, found = len(lines[0].split()), {}
        for line in lines[1:]:
            number, _, rest = line.partition(":")
            if number.strip().isdigit():
                found[int(number)] = " ".join(rest.split()[cpus:][-1:])
        return found

    def numa_node(self, node: int) -> str:
        """A NUMA node and its socket."""
        socket = self._sockets.get(node)
        return f"NUMA node {node}" + (f" (socket {socket})" if socket is not None else "")

    def ipvs_threads(self) -> dict[int, int]:
        """Nanoseconds of CPU time of each kernel thread that keeps IPVS' statistics."""
        found = {}
        for directory in self._proc.iterdir():
            if not directory.name.isdigit():
                continue
            try:
                if _text(directory / "comm").startswith("ipvs-e"):
                    found[int(directory.name)] = int(
                        (directory / "schedstat").read_text().split()[0]
                    )
            except (OSError, ValueError, IndexError):
                continue
        return found

    def kernel_name(self, address: int) -> str:
        """A kernel function; never its address."""
        return self.kernel.find(address) or UNKNOWN

    def user_name(self, tgid: int, address: int) -> str:
        """A function of a process, or what file or memory it lies in."""
        region = self._known(tgid).region(address)
        if region is None or not region.path.startswith("/"):
            found = self._perf_map(tgid).find(address)
            return found or (region.path if region and region.path else UNKNOWN)
        if region.path.startswith(_NO_FILES):
            name = self._perf_map(tgid).find(address)
        else:
            made = self._elf(tgid, region)
            name = made.find(address - region.start + region.offset) if made is not None else None
        return name or f"[{region.path.rsplit('/', 1)[-1]}]"

    @contextmanager
    def _root(self, tgid: int | None) -> Iterator[int]:
        """A process' root directory, or ours."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        with ExitStack() as held:
            if tgid is None:
                root = os.open(self._proc / "self/root", flags)
            else:
                process = held.enter_context(self._processes.open(tgid))
                root = os.open("root", flags, dir_fd=process.fd)
            held.callback(os.close, root)
            yield root

    @contextmanager
    def _open(self, tgid: int | None, path: str) -> Iterator[tuple[int, os.stat_result]]:
        """A file as a process has it, or as we have it."""
        with self._root(tgid) as root:
            try:
                fd = kernel.open_in_root(root, path)
            except PermissionError:
                self._forbidden[path] = None
                raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                raise OSError(f"{path}: no file that can be read")
            yield fd, status
        finally:
            os.close(fd)

    def meet_with_code(self, tgid: int, *, last: bool = False) -> None:
        """Note a process and the functions of what it has mapped, should it end before long."""
        known = self._met.get(tgid)
        before = () if known is None else known.regions
        self.meet(tgid, last=last)
        mapped = self._known(tgid).regions
        if mapped is not before:
            for region in mapped:
                if region.path.startswith("/"):
                    self._elf(tgid, region)

    def _elf(self, tgid: int, region: Region) -> Elf | None:
        """Below the process' root; of one in a chroot, whose paths are told as we see them, ours.

        For the latter the inode must be the mapped file's: we may have another file of that
        name.
        """
        key = (tgid, region.path)
        for owner in (tgid, None) if key not in self._by_path else ():
            self._by_path[key] = None
            with (
                suppress(OSError, ValueError),
                self._open(owner, region.path) as (fd, status),
            ):
                if owner is not None or status.st_ino == region.inode:
                    self._by_path[key] = self._read_elf(fd, status, region.path)
                    break
        return self._by_path[key]

    def _read_elf(self, fd: int, status: os.stat_result, path: str) -> Elf | None:
        identity = (status.st_dev, status.st_ino)
        if identity not in self._elves and len(self._elves) < _ELVES:
            self._elves[identity] = Elf()
            with suppress(ElfError), self._bounded(path):
                made = elf(lambda offset, size: os.pread(fd, size, offset))
                self._take(made.symbols)
                self._elves[identity] = made
        return self._elves.get(identity)

    @contextmanager
    def _bounded(self, path: str) -> Iterator[None]:
        """Goes on without a file that is too large: this process' memory is bounded."""
        try:
            yield
        except (TooLargeError, MemoryError):
            self._too_large[path] = None

    def _take(self, symbols: Symbols) -> None:
        if symbols.size > self._room:
            raise TooLargeError("symbols")
        self._room -= symbols.size

    def too_large(self) -> list[str]:
        """Files and processes of which no function, or not all, are named."""
        return list(self._too_large)

    def forbidden(self) -> list[str]:
        """Files of which no function is named, as their modes keep us from reading them.

        Root without CAP_DAC_READ_SEARCH is but another user there; Python makes its perf map
        0600 (Python/perf_trampoline.c).
        """
        return list(self._forbidden)

    def _perf_map(self, tgid: int) -> Symbols:
        if tgid not in self._perf_maps:
            self._perf_maps[tgid] = Symbols()
            for number in self._numbers(tgid):
                try:
                    path = f"/tmp/perf-{number}.map"  # noqa: S108 — where perf's readers look
                    with self._open(tgid, path) as (fd, _), self._bounded(path):
                        made = perf_map(os.pread(fd, LARGEST_TABLE + 1, 0))
                        self._take(made)
                        self._perf_maps[tgid] = made
                except OSError:
                    continue
                break
        return self._perf_maps[tgid]

    def _numbers(self, tgid: int) -> list[int]:
        """A process' number in its own PID namespace, then in ours."""
        try:
            with self._processes.open(tgid) as process:
                status = process.text("status")
        except OSError:
            return []
        line = next((x for x in status.split("\n") if x.startswith("NSpid:")), "NSpid:")
        return list(dict.fromkeys([*map(int, reversed(line.split()[1:])), tgid]))
