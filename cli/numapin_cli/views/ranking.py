"""``numapin advise`` for people: the ranking, why, and the commands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from numapin_api.names import PIN_LABEL
from numapin_cli.advise.answer import AdviceRow, Ranking
from numapin_cli.advise.weigh import WORDS, Word
from numapin_cli.views.columns import Column, table
from numapin_cli.views.top import number
from numapin_cli.views.units import plural, size

_COLOURS: Final = {"Pin": "green", "Consider": "yellow", "Leave": "red"}
_HIDDEN: Final[Mapping[Word, str]] = {
    "Quiet": "with nothing to gain in this window",
    "Unknown": "of which nothing is known",
}
WORTH_SHOWING: Final[frozenset[Word]] = frozenset({"Pin", "Consider", "Leave"})


def render(found: Ranking, *, everything: bool, width: int) -> RenderableType:
    """The ranking for people.

    Args:
        found: what is advised.
        everything: pods with nothing to gain, too.
        width: of the terminal.
    """
    shown = [r for r in found.pods if everything or r.advice in WORTH_SHOWING]
    parts: list[RenderableType] = [
        Text(f"{p.node}: {p.message}") for p in (*found.problems, *found.remarks)
    ]
    if shown:
        parts += [table(_columns(), shown, width), Text(), *_reasons(shown)]
    parts += [Text(line) for line in _summary(found, shown)]
    return Group(*parts)


def _columns() -> list[Column[AdviceRow]]:
    return [
        Column[AdviceRow](title="#", cell=lambda r: str(r.rank)),
        Column[AdviceRow](title="NAMESPACE", cell=lambda r: r.namespace, least=9),
        Column[AdviceRow](title="POD", cell=lambda r: r.name, least=14),
        Column[AdviceRow](title="NODE", cell=lambda r: r.node, least=8, rank=4),
        Column[AdviceRow](
            title="ADVICE",
            cell=lambda r: r.advice,
            least=8,
            style=lambda r: _COLOURS.get(r.advice, ""),
        ),
        Column[AdviceRow](title="MS/S", cell=lambda r: number(r.migration_ms_per_second)),
        Column[AdviceRow](
            title="REMOTE/S", cell=lambda r: number(r.remote_hint_fault_pages_per_second)
        ),
        Column[AdviceRow](title="CROSS/S", cell=lambda r: number(r.cross_socket_pages_per_second)),
        Column[AdviceRow](
            title="LOCAL",
            cell=lambda r: "-" if r.local_percent is None else f"{r.local_percent:.0f}%",
            rank=1,
        ),
        Column[AdviceRow](title="CPUS", cell=lambda r: number(r.cpus), rank=2),
        Column[AdviceRow](
            title="MEMORY",
            cell=lambda r: "-" if r.memory_bytes is None else size(r.memory_bytes),
            rank=3,
        ),
    ]


def _reasons(shown: Sequence[AdviceRow]) -> Iterator[RenderableType]:
    for r in shown:
        if not (r.evidence or r.against or r.notes):
            continue
        yield Text(
            f"{r.rank}. {r.namespace}/{r.name}: {'; '.join(r.evidence) or 'nothing counted'}"
        )
        for line in (*(f"but {a}" for a in r.against), *r.notes):
            yield Padding(Text(line), (0, 0, 0, 3))


def _summary(found: Ranking, shown: Sequence[AdviceRow]) -> Iterator[str]:
    yield ""
    hidden = [r for r in found.pods if r not in shown]
    counts = {w: sum(r.advice == w for r in hidden) for w in WORDS}
    said = [f"{plural(counts[w], 'pod')} {what}" for w, what in _HIDDEN.items() if counts[w]]
    if said:
        yield f"Not shown: {', '.join(said)} (--all shows them)."
    if found.labelled:
        yield f"{plural(found.labelled, 'pod')} with the label already: numapin status -A."
    yield (
        f"Counted for {found.seconds:.0f} s. What the pods do at other times is not known: take a "
        "longer --window under the load that matters. A pin proves its effect against the "
        "30 to 60 s before it."
    )


def command_lines(found: Ranking) -> Iterator[str]:
    """The commands, for copying: a line each, never wrapped."""
    worth = [r for r in found.pods if r.advice in {"Pin", "Consider"}]
    for title, lines in (
        ("# pin the running pod; restarts nothing", [r.label_command for r in worth]),
        ("# have all new pods start pinned; rolls them out anew", [r.keep_command for r in worth]),
    ):
        said = list(dict.fromkeys(line for line in lines if line))
        if said:
            yield ""
            yield title
            yield from said
    if any(r.label_command for r in worth):
        yield ""
        yield f"# undo: kubectl label pod POD -n NAMESPACE {PIN_LABEL}-"
