"""An event of our own making, which tells a dead tracer from a quiet machine.

Moves one page of this process to another NUMA node with move_pages(2), as anybody may, and
looks at whether the counter of such moves rose. On a machine with one NUMA node, or where the
kernel will not move the page, there is nothing to be learnt and it says so.
"""

import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable, Iterable

from numapin_agent.bpf import syscalls

_MPOL_MF_MOVE = 2


def canary(nodes: Iterable[int], moved_pages: Callable[[], int]) -> bool | None:
    """Make an event and see whether it was counted.

    Args:
        nodes: NUMA nodes with memory.
        moved_pages: reads the counter of pages moved by system calls.

    Returns:
        Whether the counter rose; None when no page could be moved.
    """
    with contextlib.closing(mmap.mmap(-1, mmap.PAGESIZE)) as page:
        page[0] = 1  # a page that was never written to is not there to be moved
        anchor = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(anchor)
        try:
            here = _move_own_page(address, None)
            before = moved_pages()
            for node in nodes:
                if node == here:
                    continue
                with contextlib.suppress(OSError):
                    if _move_own_page(address, node) == node:
                        return moved_pages() > before
        except OSError:
            return None
        finally:
            del anchor
    return None


def _move_own_page(address: int, node: int | None) -> int:
    """Move one page of this process, or with node None ask where it lies.

    Returns:
        The NUMA node that the page is on now.

    Raises:
        OSError: the call or the page failed.
    """
    pages = (ctypes.c_void_p * 1)(address)
    status = (ctypes.c_int * 1)(0)
    nodes = (ctypes.c_int * 1)(node) if node is not None else None
    syscalls.system_call(
        "move_pages",
        ctypes.c_int(0),
        ctypes.c_ulong(1),
        pages,
        nodes,
        status,
        ctypes.c_int(_MPOL_MF_MOVE),
    )
    if status[0] < 0:
        raise OSError(-status[0], f"move_pages: {os.strerror(-status[0])}")
    return int(status[0])
