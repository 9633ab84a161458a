"""Pinning pods: what to write when, moving pages, remembering what was written.

Start at ``Pinner`` for what the agent calls, at ``decide`` for the rules.
"""

from numapin_agent.pin.pinner import Pinner
from numapin_agent.pin.values import PinOrder, PinReport

__all__ = ["PinOrder", "PinReport", "Pinner"]
