"""Compiled programs apart from the maps they were compiled with, so that they can be kept.

What bcc gives has the descriptors of its own maps in the instructions. Here these become
positions in a list of map descriptions, and descriptors again when programs are loaded.
Pure: bytes and values; a kept object loads without any compiler.
"""

import base64
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

_INSTRUCTION = struct.Struct("=BBhi")
_LOAD_IMMEDIATE_64 = 0x18
_PSEUDO_MAP_FD = 1


class ObjectError(ValueError):
    """A kept object is damaged, or was kept by another version."""


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map that programs use.

    Attributes:
        name: as in the C source.
        kind: ``BPF_MAP_TYPE_*``.
        key_size: bytes.
        value_size: bytes of one value.
        max_entries: room.
    """

    name: str
    kind: int
    key_size: int
    value_size: int
    max_entries: int


@dataclass(frozen=True, slots=True)
class Object:
    """Programs and the maps they share.

    Attributes:
        maps: in the order that the instructions refer to.
        programs: instructions by name, with positions in ``maps`` for descriptors.
    """

    maps: tuple[MapSpec, ...]
    programs: Mapping[str, bytes]

    def linked(self, name: str, fds: Sequence[int]) -> bytes:
        """A program's instructions with these descriptors for its maps."""
        return relocate(self.programs[name], lambda position: fds[position])

    def encode(self) -> str:
        """As text."""
        return json.dumps(
            {
                "maps": [asdict(one) for one in self.maps],
                "programs": {n: base64.b64encode(c).decode() for n, c in self.programs.items()},
            }
        )

    @classmethod
    def decode(cls, text: str) -> "Object":
        """From text.

        Raises:
            ObjectError: it is no object's text.
        """
        try:
            read = json.loads(text)
            made = cls(
                tuple(MapSpec(**one) for one in read["maps"]),
                {n: base64.b64decode(c, validate=True) for n, c in read["programs"].items()},
            )
            count = len(made.maps)
            fits = all(p < count for c in made.programs.values() for _, p in references(c))
        except (ValueError, TypeError, KeyError, AttributeError, struct.error) as error:
            raise ObjectError(f"no kept object: {error}") from error
        if not fits:
            raise ObjectError("no kept object: a program refers to a map that is not there")
        return made


def references(code: bytes) -> Iterator[tuple[int, int]]:
    """Where instructions refer to maps: offset in bytes, and what stands there.

    A map is loaded by the 16-byte instruction LD_IMM64 with source PSEUDO_MAP_FD
    (Documentation/bpf/standardization/instruction-set.rst).
    """
    at = 0
    while at < len(code):
        opcode, registers, _, immediate = _INSTRUCTION.unpack_from(code, at)
        if opcode == _LOAD_IMMEDIATE_64:
            if registers >> 4 == _PSEUDO_MAP_FD:
                yield at, immediate
            at += 8
        at += 8


def relocate(code: bytes, to: Callable[[int], int]) -> bytes:
    """The same instructions with each reference to a map replaced."""
    changed = bytearray(code)
    for at, old in references(code):
        struct.pack_into("=i", changed, at + 4, to(old))
    return bytes(changed)


def detach(programs: Mapping[str, bytes], describe: Callable[[int], MapSpec]) -> Object:
    """Free compiled programs from the descriptors of the compiler's maps.

    Args:
        programs: instructions by name, as the compiler gave them.
        describe: the map behind a descriptor.
    """
    fds: list[int] = []
    for code in programs.values():
        fds += [fd for _, fd in references(code) if fd not in fds]
    position = {fd: i for i, fd in enumerate(dict.fromkeys(fds))}
    return Object(
        tuple(describe(fd) for fd in position),
        {name: relocate(code, position.__getitem__) for name, code in programs.items()},
    )
