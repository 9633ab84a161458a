"""Call paths as a flame graph.

Pure. A click on a frame of the flame graph makes it as wide as the picture, Ctrl-F or the field
finds frames by name; hovering tells a frame's share. Runs no code but its own: what comes from
the traced machine is escaped and only ever text.
"""

from colorsys import hls_to_rgb
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.trace.result import Result
from numapin_cli.views.canvas import LETTER, SMALL, WIDTH, Canvas, fit, reach, safe
from numapin_cli.views.trace import duration

_ROW: Final = 17
_LEAST: Final = 0.3
"""Pixels below which a frame is left out, with what is above it."""


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
    """Blue for the kernel's, warm for others; dark letters can be read on any."""
    spread = sum(ord(letter) * (i % 7 + 1) for i, letter in enumerate(name)) % 50
    kernel = name.endswith("_[k]")
    hue, light, strong = (200 + spread // 2, 0.70, 0.60) if kernel else (spread, 0.62, 0.85)
    return "#" + "".join(f"{round(255 * one):02x}" for one in hls_to_rgb(hue / 360, light, strong))


def _amount(result: Result, weight: int) -> str:
    return duration(weight) if result.weight == "ns" else f"{weight:,} {result.weight}"


def draw(canvas: Canvas, result: Result) -> None:
    """The flame graph of an answer's call paths, for a page with ``STYLE`` and ``SCRIPT``."""
    root = tree(result)
    top = canvas.y + 30
    for name, x, words in (("reset", 4, "show all"), ("find", 90, "find…"), ("found", 160, "")):
        canvas.parts.append(
            f'<text id="{name}" class="dim button" fill="#57606a" x="{x}" y="{top - 10:.1f}" '
            f'font-size="{SMALL}">{words}</text>'
        )
    deepest = narrow = 0
    pending = [(root, 0.0, 0)]
    while pending:
        frame, at, depth = pending.pop()
        width = WIDTH * frame.weight / max(1, root.weight)
        if width < _LEAST:
            narrow += 1
            continue
        deepest = max(deepest, depth)
        canvas.parts.append(_box(result, frame, root, (at, width, depth), top))
        for called in sorted(frame.calls.values(), key=lambda one: one.name):
            pending.append((called, at, depth + 1))
            at += WIDTH * called.weight / max(1, root.weight)
    canvas.y = top + (deepest + 1) * _ROW
    if narrow:
        canvas.paragraph(
            f"{narrow:,} frames below {100 * _LEAST / WIDTH:.2f} % are not drawn, nor what they "
            "call: -o folded has all",
            style="dim",
        )


def _box(
    result: Result, frame: Frame, root: Frame, place: tuple[float, float, int], top: float
) -> str:
    at, width, depth = place
    share = 100 * frame.weight / max(1, root.weight)
    told = safe(f"{frame.name}: {_amount(result, frame.weight)}, {share:.2f} %")
    y = top + depth * _ROW
    shown = safe(_shown(frame.name, width))
    return (
        f'<g class="f" data-x="{at:.2f}" data-w="{width:.2f}" data-d="{depth}" '
        f'data-n="{safe(frame.name)}"><title>{told}</title>'
        f'<rect x="{at:.2f}" y="{y:.1f}" width="{width:.2f}" height="{_ROW - 1}" '
        f'fill="{_colour(frame.name)}"/><text x="{at + 3:.2f}" y="{y + 12:.1f}" fill="#111" '
        f'font-size="{SMALL}">{shown}</text></g>'
    )


def _shown(name: str, width: float) -> str:
    """As much of a name as stands in a frame; less than three letters say nothing."""
    return fit(name, width - 4, SMALL) if width - 4 >= reach("abc", SMALL) else ""


STYLE: Final = ".f,.button{cursor:pointer}.f:hover rect{stroke:#000}.f text{pointer-events:none}"
SCRIPT: Final = (
    f"const LETTER = {SMALL * LETTER:.2f};"
    + """
const all = [...document.querySelectorAll('.f')];
const W = document.documentElement.viewBox.baseVal.width;
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
    const letters = Math.floor((wide - 4) / LETTER), name = g.dataset.n;
    const cut = name.length > letters ? name.slice(0, letters - 1) + '…' : name;
    text.textContent = letters >= 3 ? cut : '';
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
)
