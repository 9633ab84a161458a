"""Each reason that the code can produce has its section in docs/troubleshoot.md, and no other.

Reasons are read from the source itself: the arguments at the places where a condition, a
problem or an Event gets its reason, and the words of the contract that become reasons.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from numapin_api.pin import Evidence, Phase, Verdict

ROOT = Path(__file__).parents[2]
SOURCES = ("crds/numapin_api", "agent/numapin_agent", "operator/numapin_operator")
REASON_AT = {
    "Reason": 0,
    "Problem": 0,
    "Refusal": 0,
    "Unplaceable": 0,
    "Invalid": 0,
    "Note": 1,
    "Obstacle": 0,
    "Claim": 2,
    "End": 2,
    "_refused": 2,
}
"""Call → which argument is a reason."""
NAMES = {"reason", "RELEASED", "AWAITING_DEVICES", "HELPED", "IN_VAIN", "MADE_WAY", "UNDER_WAY"}
"""Names that hold one."""
NEVER_SHOWN = {
    "Failed",  # NumapinError itself, which nobody raises
    "Expired",  # of a watch, which then lists anew
    "LabFailed",  # of the lab, not of numapin
    "ChartUnreadable",  # of the program that makes the chart's files
    "ManifestInvalid",  # of numapin plan, which prints it
    "SocketBusy",  # of spec.move, which has a message beside it
    "SelfTestFailed",  # of helm test, which prints it
}
SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)


def strings(node: ast.AST) -> Iterator[str]:
    """Strings that an expression may come to."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from strings(one)
            yield from strings(other)
        case ast.BoolOp(values=values):
            for value in values:
                yield from strings(value)


def reasons_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in REASON_AT:
                at = REASON_AT[name]
                if at < len(node.args):
                    yield from strings(node.args[at])
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in NAMES:
                yield from strings(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                name in NAMES
            ):
                yield from strings(value)
        for keyword in getattr(node, "keywords", ()):
            if keyword.arg == "reason":
                yield from strings(keyword.value)


@pytest.fixture(scope="module")
def reasons() -> set[str]:
    files = [f for source in SOURCES for f in (ROOT / source).rglob("*.py")]
    found = {r for f in files for r in reasons_in(ast.parse(f.read_text(encoding="utf-8")))}
    words = {*get_args(Verdict), *get_args(Evidence), *get_args(Phase)}
    return {r for r in found | words if re.fullmatch(r"[A-Z][A-Za-z]+", r)} - NEVER_SHOWN


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    text = (ROOT / "docs/troubleshoot.md").read_text(encoding="utf-8")
    found = SECTION.findall(text)
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def test_the_source_is_understood(reasons):
    """Some of each kind, so that the test below can't pass for want of reasons."""
    assert reasons >= {
        *("Conflict", "NoRoom", "SingleSocket", "PodReplaced", "UnknownPolicy", "NoAgent"),
        *("Released", "InForce", "AwaitingAgent", "Accepted", "AsExpected", "TracerDead"),
        *("InternalError", "SystemdRefused", "Measured", "Drifted", "Moving", "NotConverging"),
    }


def test_every_reason_has_its_section_and_the_reverse(reasons, sections):
    assert sorted(reasons - sections.keys()) == []
    assert sorted(sections.keys() - reasons) == []


def test_every_section_says_what_it_means_how_to_see_it_and_what_to_do(sections):
    for name, text in sections.items():
        words = [w for w in ("- **Means** ", "- **See** ", "- **Do** ") if w in text]
        assert len(words) == 3, name


def test_links_within_the_page_lead_somewhere(sections):
    for text in sections.values():
        for anchor in re.findall(r"\(#(\w+)\)", text):
            assert anchor in {name.lower() for name in sections}
