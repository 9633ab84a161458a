"""What a policy chooses for a pod, in one line of a table."""

from numapin_api.policy import Granularity, MemoryMode, OnUnplaceable, Strategy, Verification
from numapin_operator.select import Choice


def choice(
    strategy: Strategy = "Spread",
    *,
    memory: MemoryMode = "Strict",
    granularity: Granularity = "Socket",
    otherwise: OnUnplaceable = "Skip",
    socket: int | None = None,
    headroom: int = 0,
) -> Choice:
    return Choice(
        policy="p",
        mode="Enforce",
        granularity=granularity,
        strategy=strategy,
        on_unplaceable=otherwise,
        memory=memory,
        headroom_percent=headroom,
        verification=Verification(),
        socket=socket,
    )
