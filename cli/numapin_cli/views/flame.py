"""Flame graphs and histograms as SVG, complete in one file.

Pure. A click on a frame of the flame graph makes it as wide as the picture, Ctrl-F or the field
finds frames by name; hovering tells a frame's share. Runs no code but its own: what comes from
the traced machine is escaped and only ever text.
"""

from dataclasses import dataclass, field
from html import escape
from typing import Final

from numapin_agent.trace.histogram import bounds
from numapin_agent.trace.result import Result
from numapin_cli.views.trace import duration

_WIDTH: Final = 1200
_ROW: Final = 17
_LEAST: Final = 0.3
"""Pixels below which a frame is left out, with what is above it."""
_LETTER: Final = 6.6


@dataclass(slots=True)
class Frame:
    """One frame of the flame graph with what it called."""

    name: str
    weight: int = 0
    calls: dict[str, "Frame"] = field(default_factory=dict)


def tree(result: Result) -> Frame:
    """Merge call paths into a tree; every frame weighs what runs through it."""
    root = Frame("all")
    for stack in result.stacks:
        at = root
        at.weight += stack.weight
        for name in stack.frames:
            at = at.calls.setdefault(name, Frame(name))
            at.weight += stack.weight
    return root


def _colour(name: str) -> str:
    spread = sum(ord(letter) * (i % 7 + 1) for i, letter in enumerate(name)) % 50
    return (
        f"hsl({200 + spread // 2} 60% 70%)" if name.endswith("_[k]") else f"hsl({spread} 85% 62%)"
    )


def _amount(result: Result, weight: int) -> str:
    return duration(weight) if result.weight == "ns" else f"{weight:,} {result.weight}"


def flame(result: Result) -> str:
    """The flame graph of an answer's call paths."""
    root = tree(result)
    boxes: list[str] = []
    deepest = 0
    pending = [(root, 0.0, 0)]
    while pending:
        frame, at, depth = pending.pop()
        width = _WIDTH * frame.weight / max(1, root.weight)
        if width < _LEAST:
            continue
        deepest = max(deepest, depth)
        boxes.append(_box(result, frame, root, (at, width, depth)))
        for called in sorted(frame.calls.values(), key=lambda one: one.name):
            pending.append((called, at, depth + 1))
            at += _WIDTH * called.weight / max(1, root.weight)
    height = (deepest + 1) * _ROW + 60
    title = escape(f"{result.probe}, {result.scope}, {result.seconds:.1f} s")
    head = _HEAD.format(width=_WIDTH, height=height, title=title)
    body = "\n".join(boxes)
    return f"{head}{body}\n<script><![CDATA[{_SCRIPT}]]></script>\n</svg>\n"


def _box(result: Result, frame: Frame, root: Frame, place: tuple[float, float, int]) -> str:
    at, width, depth = place
    share = 100 * frame.weight / max(1, root.weight)
    told = escape(f"{frame.name}: {_amount(result, frame.weight)}, {share:.2f} %")
    y = depth * _ROW + 40
    letters = int(width / _LETTER)
    shown = escape(frame.name[:letters]) if letters >= 3 else ""
    return (
        f'<g class="f" data-x="{at:.2f}" data-w="{width:.2f}" data-d="{depth}" '
        f'data-n="{escape(frame.name)}"><title>{told}</title>'
        f'<rect x="{at:.2f}" y="{y}" width="{width:.2f}" height="{_ROW - 1}" '
        f'fill="{_colour(frame.name)}"/><text x="{at + 3:.2f}" y="{y + 12}">{shown}</text></g>'
    )


_HEAD: Final = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" \
viewBox="0 0 {width} {height}" font-family="monospace" font-size="11">
<style>.f{{cursor:pointer}}.f:hover rect{{stroke:#000}}text{{pointer-events:none}}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="4" y="16" font-size="14">{title}</text>
<text id="reset" x="4" y="32" style="pointer-events:auto;cursor:pointer">show all</text>
<text id="find" x="90" y="32" style="pointer-events:auto;cursor:pointer">find…</text>
<text id="found" x="160" y="32"></text>
"""
_SCRIPT: Final = """
const all = [...document.querySelectorAll('.f')], W = 1200;
function zoom(from, width, depth) {
  for (const g of all) {
    const x = +g.dataset.x, w = +g.dataset.w, d = +g.dataset.d;
    const over = d < depth && x <= from + .01 && x + w >= from + width - .01;
    const inside = d >= depth && x >= from - .01 && x + w <= from + width + .01;
    g.style.display = over || inside ? '' : 'none';
    const left = over ? 0 : (x - from) / width * W, wide = over ? W : w / width * W;
    const rect = g.querySelector('rect'), text = g.querySelector('text');
    rect.setAttribute('x', left); rect.setAttribute('width', wide);
    text.setAttribute('x', left + 3);
    const fit = Math.floor(wide / 6.6);
    text.textContent = fit >= 3 ? g.dataset.n.slice(0, fit) : '';
  }
}
for (const g of all)
  g.addEventListener('click', () => zoom(+g.dataset.x, +g.dataset.w, +g.dataset.d));
document.getElementById('reset').addEventListener('click', () => zoom(0, W, 0));
function find() {
  const what = prompt('Part of a name:');
  if (what === null) return;
  let hits = 0;
  for (const g of all) {
    const hit = what && g.dataset.n.includes(what);
    hits += hit ? 1 : 0;
    g.querySelector('rect').style.fill = hit ? '#e0e' : '';
  }
  document.getElementById('found').textContent = what ? hits + ' frames match ' + what : '';
}
document.getElementById('find').addEventListener('click', find);
document.addEventListener('keydown', e => {
  if (e.ctrlKey && e.key === 'f') { e.preventDefault(); find(); }
});
"""


def histograms(result: Result, most: int = 12) -> str:
    """The rows of an answer, each a small histogram on the same scale."""
    shown = result.rows[:most]
    used = [bits for row in shown for bits, count in enumerate(row.histogram.slots) if count]
    first, last = (min(used), max(used)) if used else (0, 0)
    step, tall = max(8.0, 800 / (last - first + 1)), 70
    parts = []
    for i, row in enumerate(shown):
        top = 40 + i * (tall + 30)
        h = row.histogram
        told = " ".join(f"{k}={v}" for k, v in row.labels.items())
        figures = (
            f"{h.count:,}, average {duration(h.average)}, p50 ≤ {duration(h.at_most(0.5))}, "
            f"p99 ≤ {duration(h.at_most(0.99))}, max {duration(h.maximum)}"
        )
        parts.append(f'<text x="4" y="{top + 10}">{escape(told)}: {escape(figures)}</text>')
        peak = max(h.slots)
        for bits in range(first, last + 1):
            count = h.slots[bits]
            if count:
                high = max(1.0, (tall - 20) * count / peak)
                tip = escape(f"from {duration(bounds(bits)[0])}: {count:,}")
                parts.append(
                    f'<rect x="{4 + (bits - first) * step:.1f}" y="{top + tall - high:.1f}" '
                    f'width="{step - 2:.1f}" height="{high:.1f}" fill="#36c"><title>{tip}</title>'
                    "</rect>"
                )
    bottom = 40 + len(shown) * (tall + 30)
    parts += [
        f'<text x="{4 + (bits - first) * step:.1f}" y="{bottom + 8}" font-size="9">'
        f"{escape(duration(bounds(bits)[0]))}</text>"
        for bits in range(first, last + 1, 2)
    ]
    title = escape(f"{result.probe}, {result.scope}, {result.seconds:.1f} s")
    height = bottom + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{height}" '
        f'viewBox="0 0 900 {height}" font-family="sans-serif" font-size="11">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="4" y="20" font-size="14">{title}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def svg(result: Result) -> str:
    """Call paths as a flame graph where there are some, else histograms."""
    return flame(result) if result.stacks else histograms(result)
