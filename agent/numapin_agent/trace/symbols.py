"""Names for addresses: of the kernel, of programs and libraries, of code made at run time.

Pure: parses /proc/kallsyms, /proc/PID/maps, ELF files and perf maps that others read.
Own ELF reader, of symbol tables only: with the general library a big program takes tens of
seconds. Doesn't demangle, reads no debug information and no separate debug files. Files of
containers may say anything: what is made of one is bounded, and names stay bytes until asked for.
"""

import re
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, overload

UNKNOWN: Final = "[unknown]"
_TEXT_TYPES: Final = frozenset("tTwW")
_LOAD, _SYMTAB, _DYNSYM, _FUNC, _IFUNC = 1, 2, 11, 2, 10
_PROGRAM_HEADER, _SECTION_HEADER, _SYMBOL = 56, 64, 24
_HEADERS: Final = 4096
"""Of each kind in an ELF file; programs have some dozens."""
LARGEST_TABLE: Final = 16 << 20
"""Bytes of symbols, of their names, or of a perf map: some hundred thousand functions."""
_LONGEST_NAME: Final = 256

Read = Callable[[int, int], bytes]
"""Reads part of a file: from an offset so many bytes, fewer where it ends."""


class ElfError(ValueError):
    """No ELF file of 64 bits, or a damaged one."""


class TooLargeError(ElfError):
    """More symbols than are read."""


@dataclass(frozen=True, slots=True)
class _Names(Sequence[str]):
    """Names that lie in a file's bytes, each from its place to a byte that ends it."""

    data: bytes
    places: Sequence[int]
    end: bytes

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return _Names(self.data, self.places[at], self.end)
        start = self.places[at]
        name = self.data[start : start + _LONGEST_NAME].split(self.end, 1)[0]
        return name.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Symbols:
    """Names by address, sorted.

    Attributes:
        starts: first addresses.
        names: one for each.
        sizes: bytes that each covers; 0 where it reaches to the next.
    """

    starts: Sequence[int] = ()
    names: Sequence[str] = ()
    sizes: Sequence[int] = ()

    @classmethod
    def of(cls, found: Iterable[tuple[int, int, str]]) -> "Symbols":
        """From (start, size, name) in any order; of several at one address the first."""
        by_start: dict[int, tuple[int, str]] = {}
        for start, size, name in found:
            by_start.setdefault(start, (size, name))
        starts = array("Q", sorted(by_start))
        return cls(
            starts,
            [by_start[one][1] for one in starts],
            array("Q", (by_start[one][0] for one in starts)),
        )

    @classmethod
    def within(cls, data: bytes, found: Iterable[tuple[int, int, int]], *, end: bytes) -> "Symbols":
        """From (start, size, place of the name in the data); of several at one address the first.

        A few bytes for each: a program may have hundreds of thousands.
        """
        starts, sizes, places = array("Q"), array("Q"), array("Q")
        for start, size, place in found:
            starts.append(start)
            sizes.append(size)
            places.append(place)
        kept, last = array("Q"), -1
        for i in sorted(range(len(starts)), key=starts.__getitem__):
            if starts[i] != last:
                kept.append(i)
                last = starts[i]
        return cls(
            array("Q", (starts[i] for i in kept)),
            _Names(data, array("Q", (places[i] for i in kept)), end),
            array("Q", (sizes[i] for i in kept)),
        )

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        names = len(self.names.data) if isinstance(self.names, _Names) else 0
        return names + 3 * 8 * len(self.starts)

    def find(self, address: int) -> str | None:
        """The name of what lies there, or None."""
        at = bisect_right(self.starts, address) - 1
        if at < 0:
            return None
        size = self.sizes[at]
        if size and address >= self.starts[at] + size:
            return None
        return self.names[at]


def kernel_symbols(kallsyms: Iterable[str]) -> Symbols:
    """Functions of the kernel and its modules, as ``name`` or ``name [module]``.

    Args:
        kallsyms: lines of /proc/kallsyms. Addresses are all 0 where they are hidden
            (kernel.kptr_restrict, capability SYSLOG): then there are no symbols.
    """
    found = []
    for line in kallsyms:
        address, kind, name, *module = line.split()
        if kind in _TEXT_TYPES and address.strip("0"):
            found.append((int(address, 16), 0, " ".join((name, *module))))
    return Symbols.of(found)


@dataclass(frozen=True, slots=True)
class Region:
    """An executable line of /proc/PID/maps."""

    start: int
    end: int
    offset: int
    path: str
    inode: int = 0


def regions(maps: str) -> list[Region]:
    """Executable regions of a process.

    Args:
        maps: of /proc/PID. Of what paths may hold the kernel writes only line feeds as numbers.
    """
    found = []
    for line in maps.split("\n"):
        part = line.split(maxsplit=5)
        if len(part) >= 5 and "x" in part[1]:
            start, end = (int(x, 16) for x in part[0].split("-"))
            path = part[5].removesuffix(" (deleted)") if len(part) == 6 else ""
            found.append(Region(start, end, int(part[2], 16), path, int(part[4])))
    return found


_PERF_LINE: Final = re.compile(
    rb"^[ \t]*(?:0x)?([0-9a-f]{1,16})[ \t]+(?:0x)?([0-9a-f]{1,16})[ \t]+(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)


def perf_map(data: bytes) -> Symbols:
    """Code made at run time: lines ``start size name`` in hexadecimal, as perf reads them.

    Java writes it with perf-map-agent or ``jcmd PID Compiler.perfmap``, Python from 3.12 on
    with ``-X perf``, node with ``--perf-basic-prof``. Lines that are none are left out: the
    file is the container's and may hold anything. Of code made twice at a place the last counts.

    Raises:
        TooLargeError: more bytes than ``LARGEST_TABLE``.
    """
    if len(data) > LARGEST_TABLE:
        raise TooLargeError("perf map")
    starts, sizes, places = array("Q"), array("Q"), array("Q")
    for line in _PERF_LINE.finditer(data):
        starts.append(int(line[1], 16))
        sizes.append(int(line[2], 16))
        places.append(line.end())
    last_first = zip(reversed(starts), reversed(sizes), reversed(places), strict=True)
    return Symbols.within(data, last_first, end=b"\n")


@dataclass(frozen=True, slots=True)
class Elf:
    """What is needed of a program or library.

    Attributes:
        segments: (file offset, size, virtual address) of what is loaded.
        symbols: functions by virtual address.
    """

    segments: tuple[tuple[int, int, int], ...] = ()
    symbols: Symbols = field(default_factory=Symbols)

    def find(self, file_offset: int) -> str | None:
        """The function at a place in the file, or None."""
        for offset, size, address in self.segments:
            if offset <= file_offset < offset + size:
                return self.symbols.find(file_offset - offset + address)
        return None


def elf(read: Read) -> Elf:
    """Read segments and function symbols.

    Args:
        read: parts of the file. It may change meanwhile, as it is not ours: it is not mapped.

    Raises:
        ElfError: it is none, or a ``TooLargeError``.
    """
    if read(0, 6) != b"\x7fELF\x02\x01":
        raise ElfError("no little-endian ELF file of 64 bits")
    try:
        return _elf(read)
    except (struct.error, IndexError, OverflowError) as error:
        raise ElfError(f"damaged: {error}") from error


def _elf(read: Read) -> Elf:
    header = read(0, 64)
    phoff, shoff = struct.unpack_from("<QQ", header, 32)
    phsize, phnum, shsize, shnum = struct.unpack_from("<4H", header, 54)
    if (phnum and phsize != _PROGRAM_HEADER) or (shnum and shsize != _SECTION_HEADER):
        raise ElfError("damaged: no headers of 64 bits")
    if max(phnum, shnum) > _HEADERS:
        raise TooLargeError("headers")
    loaded = struct.iter_unpack("<IIQQQQQQ", read(phoff, phnum * phsize))
    segments = tuple(
        (offset, size, address)
        for kind, _, offset, address, _, size, _, _ in loaded
        if kind == _LOAD
    )
    sections = list(struct.iter_unpack("<IIQQQQIIQQ", read(shoff, shnum * shsize)))
    names, found = b"", []
    for wanted in (_SYMTAB, _DYNSYM):
        # a file has at most one of each
        table = next((section for section in sections if section[1] == wanted), None)
        if table is not None:
            strings = sections[table[6]]
            found.append((_table(read, table, _SYMBOL), len(names)))
            names += _table(read, strings, 1)
    return Elf(segments, Symbols.within(names, _functions(found), end=b"\0"))


def _table(read: Read, section: tuple[int, ...], unit: int) -> bytes:
    offset, size = section[4:6]
    if size > LARGEST_TABLE:
        raise TooLargeError("symbols")
    data = read(offset, size)
    return data[: len(data) // unit * unit]


def _functions(tables: Iterable[tuple[bytes, int]]) -> Iterable[tuple[int, int, int]]:
    for table, names in tables:
        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", table):
            if info & 15 in {_FUNC, _IFUNC} and section and value:
                yield value, size, names + name
