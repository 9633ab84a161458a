"""Names for addresses: of the kernel, of programs and libraries, of code made at run time.

Pure: parses /proc/kallsyms, /proc/PID/maps, ELF files and perf maps that others read.
Own ELF reader, of symbol tables only: with the general library a big program takes tens of
seconds. Doesn't demangle, reads no debug information and no separate debug files.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

UNKNOWN: Final = "[unknown]"
_TEXT_TYPES: Final = frozenset("tTwW")
_LOAD, _SYMTAB, _DYNSYM, _FUNC, _IFUNC = 1, 2, 11, 2, 10


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


def like(name: str, symbols: Symbols, most: int = 5) -> list[str]:
    """Functions whose name a user may have meant."""
    bare = [one.split(" ")[0] for one in symbols.names]
    close = [one for one in bare if one.startswith(f"{name}.")]
    close += [one for one in bare if name in one and one not in close]
    return list(dict.fromkeys(close))[:most]


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


def perf_map(text: str) -> Symbols:
    """Code made at run time: lines ``start size name`` in hexadecimal, as perf reads them.

    Java writes it with perf-map-agent or ``jcmd PID Compiler.perfmap``, Python from 3.12 on
    with ``-X perf``, node with ``--perf-basic-prof``. Lines that are none are left out: the
    file is the container's and may hold anything.
    """
    found = []
    for line in text.splitlines():
        part = line.split(maxsplit=2)
        try:
            start, size = int(part[0], 16), int(part[1], 16)
            if 0 <= start < 1 << 64 and 0 <= size < 1 << 64:
                found.append((start, size, part[2].strip()))
        except (ValueError, IndexError):
            continue
    return Symbols.of(reversed(found))


class ElfError(ValueError):
    """No ELF file of 64 bits, or a damaged one."""


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


def elf(data: bytes | memoryview) -> Elf:
    """Read segments and function symbols.

    Args:
        data: the whole file.

    Raises:
        ElfError: it is none.
    """
    if bytes(data[:6]) != b"\x7fELF\x02\x01":
        raise ElfError("no little-endian ELF file of 64 bits")
    try:
        return _elf(data)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise ElfError(f"damaged: {error}") from error


def _elf(data: bytes | memoryview) -> Elf:
    phoff, shoff = struct.unpack_from("<QQ", data, 32)
    phsize, phnum, shsize, shnum = struct.unpack_from("<4H", data, 54)
    segments = []
    for i in range(phnum):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, phoff + i * phsize)
        if kind == _LOAD:
            segments.append((offset, size, address))
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shsize) for i in range(shnum)]
    found: list[tuple[int, int, str]] = []
    for wanted in (_SYMTAB, _DYNSYM):
        for _, kind, _, _, offset, size, link, _, _, _ in sections:
            if kind == wanted:
                strings = sections[link]
                names = bytes(data[strings[4] : strings[4] + strings[5]])
                found += _functions(bytes(data[offset : offset + size // 24 * 24]), names)
    return Elf(tuple(segments), Symbols.of(found))


def _functions(table: bytes, names: bytes) -> Iterable[tuple[int, int, str]]:
    for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", table):
        if info & 15 in {_FUNC, _IFUNC} and section and value:
            yield value, size, names[name : names.index(0, name)].decode(errors="replace")
