"""A program and where it is attached, and what it must be told of this kernel's types.

Pure. Which programs are wanted is for ``counters.plan`` and ``trace.plan`` to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from numapin_agent.bpf.btf import Btf

Kind = Literal["rawTracepoint", "fentry", "fexit", "kprobe", "kretprobe", "perfEvent"]

_REGISTERS: Final = ("di", "si", "dx", "cx")
_REGISTER_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Program:
    """A function of a C file and where it is attached.

    Attributes:
        name: of the C function.
        kind: how it is attached; a perfEvent program is only loaded, its events are the user's.
        target: kernel function, tracepoint or software event; empty for a program that the agent
            runs by itself.
        btf_id: of the target, for fentry and fexit.
    """

    name: str
    kind: Kind
    target: str
    btf_id: int = 0


def offsets(btf: Btf, places: Mapping[str, tuple[tuple[str, str], ...]]) -> dict[str, int]:
    """Where members lie, by macro, of those that this kernel has.

    Args:
        btf: parsed with the names of all structs.
        places: per macro structs and members to look for, first found wins.
    """
    found: dict[str, int] = {}
    for macro, tried in places.items():
        at = next((o for s, m in tried if (o := btf.offset(s, m)) is not None), None)
        if at is not None:
            found[macro] = at
    return found


def nodes_shift(btf: Btf) -> int | None:
    """log2 of the most NUMA nodes that the kernel was built for: that many bits of page.flags.

    Args:
        btf: parsed with ``hstate`` and ``kmem_cache``, which have an element for each.
    """
    nodes = btf.elements("hstate", "nr_huge_pages_node") or btf.elements("kmem_cache", "node")
    return nodes.bit_length() - 1 if nodes and nodes & (nodes - 1) == 0 else None


def argument_offsets(btf: Btf, machine: str, count: int) -> dict[int, int]:
    """Where in ``pt_regs`` a kprobe finds a function's first arguments, by their position.

    Args:
        btf: parsed with ``pt_regs``.
        machine: as ``uname -m`` says; none are known of others than x86_64 and aarch64.
        count: of arguments, at most four.
    """
    if machine == "aarch64":
        first = btf.offset("pt_regs", "regs")
        return {} if first is None else {i: first + _REGISTER_SIZE * i for i in range(count)}
    names = _REGISTERS[:count] if machine == "x86_64" else ()
    found = ((i, btf.offset("pt_regs", name)) for i, name in enumerate(names))
    return {i: at for i, at in found if at is not None}
