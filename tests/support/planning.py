"""Short ways to say a policy, a node and a pod; the rest is in the planner's notation."""

from typing import Any

from support.machines import GIB, machine

from numapin_api.cpulist import CpuSet
from numapin_api.policy import Rebalance, Verification
from numapin_operator.placement.values import Node
from numapin_operator.select import Choice

MIB2 = 2 << 20


def policy(strategy: str = "Spread", **more: Any) -> Choice:
    fields: dict[str, Any] = {
        "policy": "p",
        "mode": "Enforce",
        "granularity": "Socket",
        "strategy": strategy,
        "on_unplaceable": "Skip",
        "memory": "Strict",
        "headroom_percent": 0,
        "verification": Verification(),
        "rebalance": Rebalance(mode="Auto"),
    }
    return Choice(**(fields | more))


def node(text: str, *, reserved: str = "", exclusive: str = "", **more: Any) -> Node:
    """A node; ``available`` and ``memory`` in GiB."""
    if "available" in more:
        more["available"] = {n: round(g * GIB) for n, g in more["available"].items()}
    return Node(
        "numa-0", machine(text), CpuSet.parse(reserved), exclusive=CpuSet.parse(exclusive), **more
    )
