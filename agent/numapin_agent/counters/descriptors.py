"""Descriptors that the loader child handed over, by what they are for.

Owned from then on: programs stay attached exactly as long as these are open. One that was
closed behind our back, and may stand for something else by now, is never closed or used again.
Locks nothing and reads nothing: that is ``Counters``'.
"""

import os
from collections.abc import Collection, Iterable

from numapin_agent.bpf import syscalls


class Descriptors:
    """Descriptors and their roles: ``map:NAME``, ``program:NAME`` and ``link:NAME``.

    Args:
        fds: role and descriptor; a role repeats where programs had to be compiled apart.
    """

    def __init__(self, fds: Iterable[tuple[str, int]]) -> None:
        self._fds = tuple(fds)

    def __bool__(self) -> bool:
        return bool(self._fds)

    def of(self, role: str) -> list[int]:
        """Those of a role."""
        return [fd for name, fd in self._fds if name == role]

    def programs(self) -> list[tuple[str, int]]:
        """Name and descriptor of each program."""
        kind = "program:"
        return [(r.removeprefix(kind), fd) for r, fd in self._fds if r.startswith(kind)]

    def drop_strangers(self) -> None:
        """Forget those that are no longer of BPF or of a perf event."""
        self._fds = tuple(one for one in self._fds if syscalls.is_ours(one[1]))

    def close(self, roles: Collection[str] | None = None) -> None:
        """Let go of these roles, or of all; may be called twice."""
        gone = [one for one in self._fds if roles is None or one[0] in roles]
        for _, fd in gone:
            if syscalls.is_ours(fd):
                os.close(fd)
        self._fds = tuple(one for one in self._fds if one not in gone)
