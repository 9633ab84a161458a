"""How amounts are written for people: one spelling in every table."""

from datetime import datetime, timedelta

from numapin_api.cpulist import IdSet

_LEAST_LIST = 12


def size(amount: int) -> str:
    """Bytes: ``3101741056`` is ``2.9 GiB``."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{amount} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def cpus(ids: IdSet, width: int = 40) -> str:
    """A cpulist that fits: the whole of it, or its start, its last CPU and how many.

    Args:
        ids: the CPUs.
        width: most characters, at least 12.
    """
    text = str(ids)
    if len(text) <= width:
        return text
    count = f" ({len(ids)})"
    last = f",..,{max(ids)}"
    room = max(width, _LEAST_LIST) - len(last) - len(count)
    start = text[: max(room, 1) + 1].rpartition(",")[0] or text.partition(",")[0]
    return start + last + count


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, as kubectl writes it: ``45s``, ``12m``, ``5h``, ``3d``."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since) / timedelta(seconds=1)))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 2 * 3600:
        return f"{seconds // 60}m"
    if seconds < 2 * 86400:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"


def plural(count: int, noun: str) -> str:
    """``1 socket``, ``2 sockets``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
