"""How each probe of ``numapin trace`` is answered on each kernel.

Pure: the matrix command asks, as users do. What an answer was made with is taken from the answer,
so that the table can't claim what no kernel gave.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.trace.question import PROBES
from numapin_agent.trace.result import Result
from numapin_api.errors import LabError
from numapin_lab import levels
from numapin_lab.levels import Had

BEGIN: Final = "<!-- probes:begin, written by make matrix -->"
END: Final = "<!-- probes:end -->"
ABOUT_NODES: Final = frozenset({"timers", "netfilter", "net-rx", "function"})
"""Asked about a whole node, all others about a pod."""
FUNCTION: Final = "vfs_read"
FAILED: Final = "failed"
"""Level of a probe that gave no answer, while the kernel was not said to be why."""
_REFUSED: Final = " refused: "


@dataclass(frozen=True, slots=True)
class Probed:
    """All probes, asked once on one kernel.

    Attributes:
        kernel: as users name it, a key of kernels.KERNELS.
        release: as the node says; empty when none came up.
        date: day of the run, YYYY-MM-DD.
        probes: how each was answered, by name.
        problem: why none was asked; empty when they were.
    """

    kernel: str
    release: str
    date: str
    probes: Mapping[str, Had] = field(default_factory=dict)
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether each was answered, or refused with what this kernel lacks."""
        return not self.problem and all(had.level != FAILED for had in self.probes.values())


def question(probe: str, *, node: str, pod: str, seconds: int) -> list[str]:
    """Arguments of ``numapin`` that ask a probe.

    Args:
        probe: a key of PROBES.
        node: name of the node asked about.
        pod: NS/NAME of a pod there.
        seconds: how long to watch.
    """
    whom = ["--node", node] if probe in ABOUT_NODES else ["--pod", pod]
    function = [FUNCTION] if probe == "function" else []
    return ["trace", probe, *function, *whom, "--duration", f"{seconds}s", "-o", "json"]


def answered(result: Result) -> Had:
    """How an answer was made: the kinds of its programs, and what it can't tell."""
    kinds = dict.fromkeys(program.target.split(" ")[0] for program in result.cost.programs)
    return Had(", ".join(kinds) or "none", "; ".join(result.untold))


def unanswered(message: str) -> Had:
    """Why there is no answer, from what the command said."""
    _, refused, why = message.partition(_REFUSED)
    return Had("none", why) if refused else Had(FAILED, message)


def read(text: str) -> tuple[Probed, ...]:
    """Results from their JSON form.

    Raises:
        LabError: it is of another form.
    """
    try:
        return tuple(
            Probed(**{**row, "probes": {n: Had(**h) for n, h in row["probes"].items()}})
            for row in json.loads(text)
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LabError(f"docs/probes.json can't be read: {error}") from error


def table(results: Sequence[Probed]) -> str:
    """The results in Markdown, a column for each kernel."""
    columns = {
        f"{levels.title(r.kernel, r.release)}, {r.date}": r.probes
        or dict.fromkeys(PROBES, Had(FAILED, r.problem))
        for r in results
    }
    return levels.grid("probe", columns) if columns else ""
