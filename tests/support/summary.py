"""Says at the end of a run what ran, what was skipped and why, by kind of test.

Runs the cheap kinds first, so that a broken parser is known before a lab is built.
"""

from collections import Counter, defaultdict

import pytest

KINDS = ("unit", "integration", "e2e", "lifecycle")


def kind_of(keywords: object) -> str:
    return next((k for k in KINDS[:0:-1] if k in keywords), "unit")  # type: ignore[operator]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: KINDS.index(kind_of(item.keywords)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "failed", "skipped", "error", "xfailed"):
        for report in terminalreporter.stats.get(outcome, []):
            # A file that could not be collected has no keywords.
            kind = kind_of(getattr(report, "keywords", ()))
            counts[kind][outcome] += 1
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                reasons[kind, str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
    terminalreporter.section("what ran")
    for kind in KINDS:
        if not counts[kind]:
            terminalreporter.line(f"{kind:12} none selected", yellow=True)
            continue
        told = ", ".join(f"{n} {outcome}" for outcome, n in counts[kind].items())
        bad = counts[kind]["failed"] + counts[kind]["error"]
        terminalreporter.line(f"{kind:12} {told}", red=bool(bad), green=not bad)
    for (kind, reason), n in reasons.items():
        terminalreporter.line(f"SKIPPED {n} {kind}: {reason}", yellow=True)
