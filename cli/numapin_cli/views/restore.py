"""What ``numapin restore`` prints: plain text, since the agent's image has no rich."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numapin_agent.cgroup.values import Cpuset
    from numapin_agent.restore import Outcome

_HEAD = ("POD", "UID", "RESULT", "BEFORE", "AFTER")


def as_data(outcomes: "Sequence[Outcome]") -> dict[str, Any]:
    """For json and yaml."""
    return {
        "pods": [
            {
                "uid": o.found.uid,
                "namespace": o.found.namespace,
                "name": o.found.name,
                "result": o.result,
                "before": _cpuset(o.before),
                "after": _cpuset(o.after),
                "message": o.message,
            }
            for o in outcomes
        ]
    }


def table(outcomes: "Sequence[Outcome]") -> str:
    """For people: columns as wide as what is in them, messages below."""
    if not outcomes:
        return "nothing is pinned on this machine"
    rows = [_HEAD, *map(_row, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"{o.found.uid}: {o.message}" for o in outcomes if o.message)])


def _row(outcome: "Outcome") -> tuple[str, ...]:
    found = outcome.found
    return (
        f"{found.namespace}/{found.name}" if found.name else "-",
        found.uid,
        outcome.result,
        _text(outcome.before),
        _text(outcome.after),
    )


def _text(cpuset: "Cpuset | None") -> str:
    return "-" if cpuset is None else str(cpuset)


def _cpuset(cpuset: "Cpuset | None") -> dict[str, str] | None:
    return None if cpuset is None else {"cpus": str(cpuset.cpus), "mems": str(cpuset.mems)}
