"""What the end-to-end tests came to on each kernel, and how each signal is had there.

Pure: the matrix command runs the tests and writes the files. Levels are those that the agents
themselves published while the tests ran, so that the table can't claim what no kernel gave.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from numapin_api.errors import LabError

BEGIN: Final = "<!-- kernels:begin, written by make matrix -->"
END: Final = "<!-- kernels:end -->"
_TESTS: Final = """\
| Linux | passed | failed | skipped | date | |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Had:
    """How a signal is had.

    Attributes:
        level: as in NumaNode.status.capabilities.
        reason: why not better; empty when nothing is.
    """

    level: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OnKernel:
    """One run of the end-to-end tests on one kernel.

    Attributes:
        kernel: as users name it, a key of kernels.KERNELS.
        release: as the node says, like "6.1.0-50-cloud-amd64"; empty when none came up.
        passed: number of tests.
        failed: number of tests, errors included.
        skipped: number of tests.
        date: day of the run, YYYY-MM-DD.
        signals: by name.
        problem: why there are no tests; empty when there are.
    """

    kernel: str
    release: str
    passed: int
    failed: int
    skipped: int
    date: str
    signals: Mapping[str, Had] = field(default_factory=dict)
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether tests ran and none failed."""
        return not self.problem and self.failed == 0


def had(numanodes: Mapping[str, Any]) -> tuple[str, Mapping[str, Had]]:
    """Kernel and levels that a list of NumaNodes shows.

    Args:
        numanodes: as ``kubectl get numanodes -o json`` prints.

    Raises:
        LabError: no agent has published any, or they differ between nodes.
    """
    found = {
        (
            said["kernel"],
            tuple((s["name"], Had(s["level"], s.get("reason") or "")) for s in said["signals"]),
        )
        for node in numanodes["items"]
        if (said := node.get("status", {}).get("capabilities")) and said.get("signals")
    }
    if not found:
        raise LabError("no NumaNode says how it has its signals: see lab/lab logs")
    if len(found) > 1:
        raise LabError(f"the nodes differ in kernel or signals: {sorted(k for k, _ in found)}")
    ((release, signals),) = found
    return release, dict(signals)


def read(text: str) -> tuple[OnKernel, ...]:
    """Results from their JSON form.

    Raises:
        LabError: it is of another form.
    """
    try:
        return tuple(
            OnKernel(**{**row, "signals": {n: Had(**s) for n, s in row["signals"].items()}})
            for row in json.loads(text)
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LabError(f"docs/kernels.json can't be read: {error}") from error


def write(results: Sequence[OnKernel]) -> str:
    """The JSON form of results."""
    return json.dumps([asdict(result) for result in results], indent=1) + "\n"


def merge(old: Iterable[OnKernel], new: OnKernel, *, order: Sequence[str]) -> tuple[OnKernel, ...]:
    """Results in a given order of kernels; the new one replaces the old of its kernel."""
    found = {r.kernel: r for r in (*old, new)}
    return tuple(found[name] for name in order if name in found)


def tables(results: Sequence[OnKernel]) -> str:
    """The results in Markdown: tests on each kernel, signals on each, reasons."""
    if not results:
        return _TESTS
    tests = "".join(
        f"| {_name(r)} | {r.passed} | {r.failed} | {r.skipped} | {r.date} | {_cell(r.problem)} |\n"
        for r in results
    )
    ran = [r for r in results if r.signals]
    names = dict.fromkeys(name for r in ran for name in r.signals)
    notes: dict[str, int] = {}
    rows = "".join(
        f"| {name} | {' | '.join(_level(r.signals.get(name), notes) for r in ran)} |\n"
        for name in names
    )
    text = _TESTS + tests
    if ran:
        heads = " | ".join(map(_name, ran))
        text += f"\n| signal | {heads} |\n|{'---|' * (len(ran) + 1)}\n{rows}"
    if notes:
        text += "\n" + "".join(f"{number}. {_cell(why)}\n" for why, number in notes.items())
    return text


def _name(result: OnKernel) -> str:
    """The version for people: of 6.1.0-50-cloud-amd64 what users asked for says more."""
    version = re.match(r"\d+\.\d+\.\d+", result.release)
    known = version[0] if version and not version[0].endswith(".0") else result.release
    return f"{result.kernel} ({known})" if known else result.kernel


def _level(one: Had | None, notes: dict[str, int]) -> str:
    if one is None:
        return ""
    if not one.reason:
        return one.level
    return f"{one.level} ({notes.setdefault(one.reason, len(notes) + 1)})"


def _cell(text: str) -> str:
    """Text that breaks no table."""
    return " ".join(text.replace("|", "\\|").split())
