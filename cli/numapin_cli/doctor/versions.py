"""Version numbers of Kubernetes and numapin, and how far apart they are. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

Skew = Literal["same", "near", "far"]
_NUMBER = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """The numbers of a version; what follows them (-rc.1, +k3s1) is left out."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """A version like ``v1.35.4`` or ``0.1.0``; None if it is none."""
        m = _NUMBER.match(text)
        return None if m is None else cls(int(m[1]), int(m[2]), int(m[3] or 0))


def skew(versions: Collection[str]) -> Skew:
    """How far apart versions are.

    Args:
        versions: as they are written; what is no version (a branch, a digest) is only
            compared as text.

    Returns:
        same; near: within one minor version, or not comparable; far: more than that.
    """
    if len(set(versions)) <= 1:
        return "same"
    known = [v for v in map(Version.parse, versions) if v is not None]
    if not known:
        return "near"
    low, high = min(known), max(known)
    far = high.major != low.major or high.minor - low.minor > 1
    return "far" if far else "near"
