"""Keeps a verdict from going to and fro: one window's figures alone don't overturn it. Pure.

What the kernel says of a cpuset, drift and conflicts count at once; they don't waver. Figures
near a threshold do. So a verdict by figures replaces another one only after the agent has
found the same in two whole windows in a row. And while an agent that has just started does not
know yet what it can count, nothing speaks against what was said before. Kept in no memory of its
own: what was said before is in the NumaPin's status, and how often the figures agreed in the
agent's report.
"""

from dataclasses import replace
from typing import Final

from numapin_api.pin import STEADY_WINDOWS, NumaPinStatus, Verdict
from numapin_operator.conditions import PINNED, VERIFIED
from numapin_operator.verdict import Judgement

_BY_FIGURES: Final[frozenset[Verdict]] = frozenset({"Verified", "Ineffective", "NoSignal"})
_OBSERVED: Final[frozenset[Verdict]] = frozenset({"Observing"})


def steadied(new: Judgement, old: NumaPinStatus | None, *, generation: int) -> Judgement:
    """The judgement to be told.

    Args:
        new: what follows from the last report alone.
        old: the status as it stands, with that report.
        generation: metadata.generation of the pin's spec; another one starts afresh.

    Returns:
        The new one; the old verdict as it was told, while the agent has not said what it can
        count; or, while the new one rests on too few windows, the old verdict with a message
        that says what contradicts it.
    """
    if old is None or old.observed is None or old.verdict is None:
        return new
    if old.observed_generation != generation:
        return new
    if new.unsaid:
        return _as_told(new, old, old.verdict)
    windows = old.observed.windows
    if (
        not new.by_figures
        or windows is None
        or windows >= STEADY_WINDOWS
        or new.verdict == old.verdict
        or old.verdict not in _BY_FIGURES
    ):
        return new
    return replace(
        new,
        verdict=old.verdict,
        evidence=old.evidence,
        message=f"still {old.verdict}; the last figures would make it {new.verdict}, and it "
        f"will be when {STEADY_WINDOWS} whole windows in a row have said so: {new.message}",
    )


def _as_told(new: Judgement, old: NumaPinStatus, verdict: Verdict) -> Judgement:
    """The old verdict with its figures, if it was one on this pin in force or observed."""
    said = {c.type: c for c in old.conditions}
    pinned, verified = said.get(PINNED), said.get(VERIFIED)
    in_force = pinned is not None and pinned.status == "True"
    if verified is None or verdict not in (_BY_FIGURES if in_force else _OBSERVED):
        return new
    return replace(
        new,
        verdict=verdict,
        evidence=old.evidence,
        message=verified.message,
        local_percent=old.local_percent,
        cross_socket_pages_per_second=old.cross_socket_pages_per_second,
    )
