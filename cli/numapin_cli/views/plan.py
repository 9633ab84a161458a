"""``numapin plan`` for people: who goes where, who doesn't and why, what would be moved."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from numapin_cli.planning.answer import Plan, PlannedMove, PlannedPin, Unplaceable, Weighed
from numapin_cli.views.units import size


def render(plan: Plan) -> RenderableType:
    """The whole answer.

    Args:
        plan: what was decided.
    """
    parts: list[RenderableType] = []
    if plan.pins:
        parts.append(_pins(plan.pins))
    if plan.unplaceable:
        parts += _apart(parts, Text("Not pinned", style="bold"))
        parts += [_line(one) for one in plan.unplaceable]
    if plan.moves is not None:
        parts += _apart(parts, Text("Moves", style="bold"))
        parts += [_moves(plan.moves)] if plan.moves else [Text("none is worth making")]
    every: list[PlannedPin | Unplaceable] = [*plan.pins, *plan.unplaceable]
    for one in (one for one in every if one.explain is not None):
        parts += _apart(parts, Text(f"{one.namespace}/{one.name}", style="bold"))
        parts.append(Text(one.message))
        if one.explain:
            parts.append(_weighed(one.explain, one))
    return Group(*parts) if parts else Text("no pod asks to be pinned: label numapin.io/pin=true")


def _apart(before: list[RenderableType], title: Text) -> list[RenderableType]:
    return [Text(""), title] if before else [title]


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title)
    return table


def _pins(pins: list[PlannedPin]) -> Table:
    table = _table("POD", "NODE", "SOCKET", "CPUS", "MEMS", "MEMORY", "POLICY")
    for pin in pins:
        note = " (Observe)" if pin.mode == "Observe" else ""
        table.add_row(
            Text(f"{pin.namespace}/{pin.name}"),
            Text(pin.node),
            Text(",".join(map(str, pin.sockets))),
            Text(pin.cpus),
            Text("-" if pin.mems is None else pin.mems),
            Text(pin.memory),
            Text(pin.policy + note),
        )
    return table


def _line(one: Unplaceable) -> Text:
    return Text.assemble(
        f"{one.namespace}/{one.name}  ", (one.reason, "yellow"), f"  {one.message}"
    )


def _moves(moves: list[PlannedMove]) -> Table:
    table = _table("POD", "FROM", "TO", "MEMORY", "GAIN", "REASON")
    for move in moves:
        table.add_row(
            Text(f"{move.namespace}/{move.name}"),
            Text(str(move.from_socket)),
            Text(str(move.to_socket)),
            Text(size(move.bytes)),
            Text(f"{move.gain:.1f} %"),
            Text(f"{move.reason}: {move.message}"),
        )
    return table


def _weighed(found: list[Weighed], one: PlannedPin | Unplaceable) -> Table:
    table = _table("PLACE", "CPU", "MEMORY", "LOCAL", "")
    chosen = one.sockets if isinstance(one, PlannedPin) else []
    for weighed in found:
        said = [weighed.obstacle] if weighed.obstacle else []
        if weighed.off_device:
            said.append("not where its devices are")
        if weighed.together:
            said.append(f"{weighed.together} pods there that it is to be with")
        if weighed.replicas:
            said.append(f"{weighed.replicas} pods there of its workload")
        mark = "→ " if not weighed.obstacle and weighed.socket in chosen else ""
        table.add_row(
            Text(mark + weighed.place),
            Text(f"{weighed.cpu_percent:.1f} %"),
            Text(f"{weighed.memory_percent:.1f} %"),
            Text(size(weighed.local_bytes)),
            Text("; ".join(said)),
        )
    return table
