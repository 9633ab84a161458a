"""What was tested with which Kubernetes: results, and the table that documents show of them.

Pure: the matrix command runs the tests and writes the files. Nothing gets into the table but
by a result, so that it can't claim what nobody ran.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from xml.etree import ElementTree as ET

from numapin_api.errors import LabError

SUITES = ("integration", "e2e", "kernels", "probes")
"""Tests against versions of Kubernetes, with a real API server and in the lab; those in the lab on
each kernel; and each probe of ``numapin trace``, asked there."""
BEGIN = "<!-- matrix:begin, written by make matrix -->"
END = "<!-- matrix:end -->"
_HEAD = """\
| Kubernetes | tests | passed | failed | skipped | ran on | date |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a suite against one version of Kubernetes.

    Attributes:
        kubernetes: release, like "v1.35.4".
        suite: integration or e2e.
        passed: number of tests.
        failed: number of tests, errors included.
        skipped: number of tests.
        ran_on: what stood below: programs, or kernel and runtime of the nodes.
        date: day of the run, YYYY-MM-DD.
    """

    kubernetes: str
    suite: str
    passed: int
    failed: int
    skipped: int
    ran_on: str
    date: str


def counts(text: str, *, what: str) -> tuple[int, int, int]:
    """How many tests passed, failed (errors included) and were skipped, from pytest's JUnit XML.

    Args:
        text: of the file.
        what: ran, to be named when nothing did.

    Raises:
        LabError: it is no such file, or no test was in it.
    """
    try:
        suites = list(ET.fromstring(text).iter("testsuite"))
    except ET.ParseError as error:
        raise LabError(f"the tests' report can't be read: {error}") from error

    def count(*names: str) -> int:
        return sum(int(found.get(name, "0")) for found in suites for name in names)

    failed, skipped = count("failures", "errors"), count("skipped")
    if count("tests") == 0:
        raise LabError(f"no {what} ran")
    return count("tests") - failed - skipped, failed, skipped


def read(text: str) -> tuple[Result, ...]:
    """Results from their JSON form.

    Raises:
        LabError: it is of another form.
    """
    try:
        return tuple(Result(**row) for row in json.loads(text))
    except (ValueError, TypeError) as error:
        raise LabError(f"docs/compatibility.json can't be read: {error}") from error


def write(results: Sequence[Result]) -> str:
    """The JSON form of results."""
    return json.dumps([asdict(result) for result in results], indent=1) + "\n"


def merge(old: Iterable[Result], new: Iterable[Result]) -> tuple[Result, ...]:
    """Results in order of version and suite; a new one replaces the old of its minor version."""
    found = {(_order(r.kubernetes)[:2], r.suite): r for r in (*old, *new)}
    return tuple(sorted(found.values(), key=lambda r: (_order(r.kubernetes), r.suite)))


def table(results: Iterable[Result]) -> str:
    """The results as a Markdown table."""
    return _HEAD + "".join(
        f"| {r.kubernetes.removeprefix('v')} | {r.suite} | {r.passed} | {r.failed} | {r.skipped} "
        f"| {r.ran_on} | {r.date} |\n"
        for r in results
    )


def splice(document: str, text: str, *, begin: str = BEGIN, end: str = END) -> str:
    """The document with the text between two markers replaced.

    Raises:
        LabError: the markers are not there.
    """
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise LabError(f"docs/compatibility.md lacks {begin!r} or {end!r} after it")
    return f"{before}{begin}\n{text}{end}{after}"


def _order(kubernetes: str) -> tuple[int, ...]:
    return tuple(map(int, kubernetes.removeprefix("v").split(".")))
