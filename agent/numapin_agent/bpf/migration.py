"""What the kernel's tracepoints of page migration pass, for all who attach to them. Pure."""

from collections.abc import Sequence
from typing import Final

from numapin_agent.bpf.btf import Parameter

_ENDS: Final = (("migrate_mode", "int"), ("migrate_mode", "migrate_reason"))
"""``mode`` and ``reason``; the latter an int up to 6.18 at least, and its enum in 7.3
(include/trace/events/migrate.h)."""


def tells_reason(passed: Sequence[Parameter]) -> bool:
    """Whether a tracepoint's last two parameters are mode and reason of a migration.

    Args:
        passed: by mm_migrate_pages_start, or mm_migrate_pages, which passes counts before them.
    """
    return tuple(p.type for p in passed[-2:]) in _ENDS
