"""How numbers and foreign strings are put into messages: one spelling everywhere.

It deliberately knows no message; it only formats.
"""

import json
from collections.abc import Iterable
from typing import Final

SHOWN_CHARACTERS: Final = 60
SHOWN_ITEMS: Final = 10


def size(amount: int) -> str:
    """Bytes as people read them: ``419524608`` is ``400.1 MiB``."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{amount} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def cores(millis: int) -> str:
    """Millicores as Kubernetes writes them: ``1500m``, ``2``."""
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def quoted(value: str) -> str:
    """A string that somebody else chose: quoted, ASCII only, cut to a sane length."""
    cut = value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "..."
    return json.dumps(cut)


def ending(path: str) -> str:
    """A path, of a long one the end, which tells more."""
    return path if len(path) <= SHOWN_CHARACTERS else "..." + path[3 - SHOWN_CHARACTERS :]


def listed(items: Iterable[object]) -> str:
    """``a, b, c``; long lists end with how many more there are."""
    words = [str(item) for item in items]
    if len(words) > SHOWN_ITEMS:
        return f"{', '.join(words[:SHOWN_ITEMS])} and {len(words) - SHOWN_ITEMS} more"
    return ", ".join(words)
