"""An answer with call paths, of names that files and pictures could take for their own marks."""

from numapin_agent.trace.result import Result, Stack

PATHS = Result(
    probe="page-faults",
    scope="node",
    seconds=1.0,
    weight="faults",
    stacks=[
        Stack(frames=["redis", "main", "a<b>&\"c'"], weight=30),
        Stack(frames=["redis", "main", "exc_page_fault_[k]"], weight=10),
        Stack(frames=["x;y"], weight=1),
    ],
)
