"""What the end-to-end tests came to on each kernel, and how each signal is had there.

Pure: the matrix command runs the tests and writes the files. Levels are those that the agents
themselves published while the tests ran, so that the table can't claim what no kernel gave.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeVar

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


class OfKernel(Protocol):
    """A result of which there is one for each kernel: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def kernel(self) -> str:
        """As users name it."""


R = TypeVar("R", bound=OfKernel)


def write(results: Sequence[OfKernel]) -> str:
    """The JSON form of results."""
    return json.dumps([asdict(result) for result in results], indent=1) + "\n"


def merge(old: Iterable[R], new: R, *, order: Sequence[str]) -> tuple[R, ...]:
    """Results in a given order of kernels; the new one replaces the old of its kernel."""
    found = {r.kernel: r for r in (*old, new)}
    return tuple(found[name] for name in order if name in found)


def tables(results: Sequence[OnKernel]) -> str:
    """The results in Markdown: tests on each kernel, signals on each, reasons."""
    tests = "".join(
        f"| {title(r.kernel, r.release)} | {r.passed} | {r.failed} | {r.skipped} | {r.date} "
        f"| {_cell(r.problem)} |\n"
        for r in results
    )
    ran = {title(r.kernel, r.release): r.signals for r in results if r.signals}
    return _TESTS + tests + (f"\n{grid('signal', ran)}" if ran else "")


def grid(what: str, columns: Mapping[str, Mapping[str, Had]]) -> str:
    """A Markdown table of how things are had, a column for each kernel; reasons are numbered.

    Args:
        what: the rows are.
        columns: by their title, of each row's name.
    """
    names = dict.fromkeys(name for column in columns.values() for name in column)
    notes: dict[str, int] = {}
    rows = "".join(
        f"| {name} | {' | '.join(_level(c.get(name), notes) for c in columns.values())} |\n"
        for name in names
    )
    text = f"| {what} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}\n{rows}"
    if notes:
        text += "\n" + "".join(f"{number}. {_cell(why)}\n" for why, number in notes.items())
    return text


def title(kernel: str, release: str) -> str:
    """The version for people: of 6.1.0-50-cloud-amd64 what users asked for says more.

    Args:
        kernel: as users name it.
        release: as the node says; empty when none came up.
    """
    version = re.match(r"\d+\.\d+\.\d+", release)
    known = version[0] if version and not version[0].endswith(".0") else release
    return f"{kernel} ({known})" if known else kernel


def _level(one: Had | None, notes: dict[str, int]) -> str:
    if one is None:
        return ""
    if not one.reason:
        return one.level
    return f"{one.level} ({notes.setdefault(one.reason, len(notes) + 1)})"


def _cell(text: str) -> str:
    """Text that breaks no table."""
    return " ".join(text.replace("|", "\\|").split())
