"""Files that a pod maps while another cgroup is charged for their pages: a sample's arithmetic.

Pure. A page of a file is charged to the cgroup that read it first, so memory.numa_stat of a pod
is silent about a model, a database or a library that another pod had read. /proc/PID/maps
names the files, move_pages(2) in query mode tells where single pages lie, and what the pod maps
on a NUMA node beyond what it is charged for there is somebody else's.

Every figure is a lower bound but for the sampling error: which of the pages that are charged to
the pod belong to which file is not to be had, so each file is taken to hold all of them. Files
that are only read(2) are in nobody's maps and are not seen.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from numapin_api.cpulist import NodeSet
from numapin_api.locality import IMMOVABLE_BYTES
from numapin_api.pin import BORROWED_FILES, BORROWED_PATH

MOST_PAGES: Final = 1024
"""Asked about in one process: move_pages(2) takes the mmap lock for 16 of them at a time
(mm/migrate.c ``DO_PAGES_STAT_CHUNK_NR``)."""
GATE_BYTES: Final = 16 << 20
"""So much more of files than its pod is charged for a process must have resident to be sampled."""
KEEP_SHARE: Final = 0.5
"""What is told already stays told down to this share of both thresholds: no flapping."""
HUGETLB_ALIGNMENT: Final = 64 << 10
"""The smallest huge page of hugetlbfs on any architecture (arm64)."""

_NO_FILES: Final = ("/dev/", "/dmabuf:", "/anon_hugepage")
"""Devices and the like have an inode, too, but no pages of a file."""
_YET_FILES: Final = ("/dev/shm/", "/dev/zero")  # noqa: S108 -- names to compare with
_JITTER: Final = 0x9E3779B97F4A7C15
"""2⁶⁴ over the golden ratio: multiples of it, modulo 2⁶⁴, are spread evenly."""


class File(NamedTuple):
    """A file as /proc/PID/maps names it.

    Attributes:
        device: of the file system; an overlay has one for each mount.
        inode: its number.
        path: as the process's mount namespace has it.
    """

    device: str
    inode: int
    path: str

    def same(self, other: "File") -> bool:
        """Whether both are one file: overlays share the lower file's inode number and path."""
        return self.inode == other.inode and (
            self.device == other.device or self.path == other.path
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping of a part of a file.

    Attributes:
        start: first address.
        end: first address behind it.
        offset: of ``start`` in the file, in bytes.
        file: which.
    """

    start: int
    end: int
    offset: int
    file: File


def parse(maps: str, *, hugetlb: bool = False) -> tuple[Mapped, ...]:
    """The mappings whose pages are pages of a file.

    Private writable ones are left out, whose pages may be copies of the process's own.

    Args:
        maps: content of /proc/PID/maps (fs/proc/task_mmu.c ``show_map_vma``).
        hugetlb: whether the process uses huge pages of hugetlbfs, which are charged elsewhere:
            then all mappings are left out that are as aligned as such must be.
    """
    return tuple(m for m in _lines(maps) if not (hugetlb and _huge(m)))


def _lines(maps: str) -> Iterator[Mapped]:
    # Not splitlines(): the kernel escapes nothing but the newline in names of files.
    for line in maps.split("\n"):
        fields = line.split(maxsplit=5)
        if len(fields) < 6:
            continue
        span, permissions, offset, device, inode, path = fields
        if inode == "0" or not path.startswith("/"):
            continue
        if path.startswith(_NO_FILES) and not path.startswith(_YET_FILES):
            continue
        private = permissions[3:] == "p"
        if permissions[:3] == "---" or (private and permissions[1] == "w"):
            continue
        start, _, end = span.partition("-")
        file = File(device, int(inode), path)
        yield Mapped(int(start, 16), int(end, 16), int(offset, 16), file)


def _huge(mapping: Mapped) -> bool:
    return not (mapping.start | mapping.end) % HUGETLB_ALIGNMENT


def distinct(mappings: Iterable[Mapped]) -> tuple[Mapped, ...]:
    """The mappings without those parts that an earlier one has of the same file."""
    found: list[Mapped] = []
    covered: dict[tuple[str, int], int] = {}
    for m in sorted(mappings, key=lambda m: (m.file[:2], m.offset, m.start)):
        key = (m.file.device, m.file.inode)
        end = m.offset + m.end - m.start
        past = max(0, min(covered.get(key, 0), end) - m.offset)
        covered[key] = max(end, covered.get(key, 0))
        if m.start + past < m.end:
            found.append(replace(m, start=m.start + past, offset=m.offset + past))
    return tuple(found)


def sizes(mappings: Iterable[Mapped]) -> dict[File, int]:
    """Bytes mapped of each file, in memory or not."""
    found: Counter[File] = Counter()
    for m in mappings:
        found[m.file] += m.end - m.start
    return dict(found)


@dataclass(frozen=True, slots=True)
class Sample:
    """Pages to ask about.

    Attributes:
        addresses: of the pages.
        files: of each page, its file.
        step: bytes that each page stands for.
        whole: whether all pages are among them.
    """

    addresses: tuple[int, ...]
    files: tuple[File, ...]
    step: float
    whole: bool


def choose(mappings: Sequence[Mapped], *, page: int, most: int = MOST_PAGES) -> Sample:
    """One page of each of ``most`` equal stretches, the same ones each time.

    Where in its stretch varies: a fixed distance would meet interleaved memory on one NUMA
    node only.

    Args:
        mappings: from ``distinct``.
        page: bytes of a page.
        most: how many.
    """
    total = sum(m.end - m.start for m in mappings) // page
    count = min(most, total)
    addresses: list[int] = []
    files: list[File] = []
    left = iter(mappings)
    at, m = 0, None  # pages before the mapping, and the mapping
    for i in range(count):
        first, behind = i * total // count, (i + 1) * total // count
        where = first + ((i * _JITTER % (1 << 64)) * (behind - first) >> 64)
        while m is None or where >= at + (m.end - m.start) // page:
            at += 0 if m is None else (m.end - m.start) // page
            m = next(left)
        addresses.append(m.start + (where - at) * page)
        files.append(m.file)
    step = total * page / count if count else 0.0
    return Sample(tuple(addresses), tuple(files), step, whole=count == total)


class Estimate(NamedTuple):
    """Bytes of a file that a process maps on a NUMA node.

    Attributes:
        bytes: by the sample.
        error: two standard errors of it, in bytes.
    """

    bytes: int
    error: int


Place = tuple[str, int, int]
"""Device and inode of a file, and a NUMA node."""
Found = Mapping[Place, tuple[File, Estimate]]


def count(sample: Sample, status: Sequence[int]) -> Found:
    """Scale up what the kernel said.

    Of m pages of a file k lie on the node: its error is that of a share k/m, and of one page
    more or less that the file's ends make.

    Args:
        sample: what was asked.
        status: per page its NUMA node; negative where the process does not map it now.
    """
    asked = Counter(file[:2] for file in sample.files)
    hits: Counter[Place] = Counter()
    names: dict[Place, File] = {}
    for file, node in zip(sample.files, status, strict=True):
        if node >= 0:
            place = (file.device, file.inode, node)
            hits[place] += 1
            names.setdefault(place, file)
    found = {}
    for place, k in hits.items():
        m = asked[place[:2]]
        variance = 0.0 if sample.whole else k * (m - k) / m + 1
        estimate = Estimate(round(k * sample.step), round(2 * sample.step * variance**0.5))
        found[place] = (names[place], estimate)
    return found


def merged(one: Found, other: Found) -> Found:
    """Of two processes of a pod the one that maps more, file by file: the pages are the same."""
    found = dict(one)
    for place, (file, estimate) in other.items():
        if place not in found or estimate.bytes > found[place][1].bytes:
            found[place] = (file, estimate)
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """A file that is worth telling of.

    Attributes:
        file: which.
        node: a NUMA node that is not the pod's.
        bytes: mapped there that the pod is not charged for, about.
    """

    file: File
    node: int
    bytes: int

    @property
    def name(self) -> tuple[str, int]:
        """How it is told: the path as it is shown, and the NUMA node."""
        return shown(self.file.path), self.node


def gate(charged: Mapping[int, int], *, told: bool) -> int:
    """How much of files a process must have resident to be sampled, in bytes.

    Args:
        charged: mapped bytes of files per NUMA node that the pod is charged for.
        told: whether something of it is told already.
    """
    return sum(charged.values()) + int(GATE_BYTES * (KEEP_SHARE if told else 1))


def tell(
    found: Found,
    *,
    charged: Mapping[int, int],
    home: NodeSet,
    told: Collection[tuple[str, int]] = (),
) -> tuple[Told, ...]:
    """What of the pod's mapped files others are charged for, off the pin's NUMA nodes.

    Args:
        found: what the pod maps, from ``merged``.
        charged: mapped bytes of files per NUMA node that the pod is charged for.
        home: the pin's NUMA nodes.
        told: what is told already, by ``Told.name``: it stays with less.

    Returns:
        The largest first; only what exceeds ``IMMOVABLE_BYTES`` with its error taken off.
    """
    worth = []
    for (_, _, node), (file, estimate) in found.items():
        one = Told(file, node, estimate.bytes - charged.get(node, 0))
        known = one.name in told
        sure = one.bytes if known else one.bytes - estimate.error
        least = IMMOVABLE_BYTES * (KEEP_SHARE if known else 1)
        if node not in home and sure >= least:
            worth.append(one)
    # Those that are told already first: else the last two would take turns.
    kept = sorted(worth, key=lambda one: (one.name not in told, -one.bytes, one.name))
    return tuple(sorted(kept[:BORROWED_FILES], key=lambda one: (-one.bytes, one.name)))


def shown(path: str) -> str:
    """A path as it is published: its end, and nothing that a terminal would obey."""
    clean = "".join(c if c.isprintable() else "?" for c in path)
    return clean if len(clean) <= BORROWED_PATH else "..." + clean[3 - BORROWED_PATH :]
