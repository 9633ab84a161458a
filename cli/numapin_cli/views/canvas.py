"""A page of SVG that is filled from above: text that fits, bars, lines, for light and dark screens.

Pure, and knows nothing of traces. Every text has a room that it is cut to, with the whole of it in
the title that a browser shows. Widths are reckoned for the widest of common monospaced fonts, since
who looks may have any of them.
"""

import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import Final

from numapin_agent.trace.words import plain
from numapin_cli.views.letters import clip, columns

WIDTH: Final = 1000
MARGIN: Final = 16
INNER: Final = WIDTH - 2 * MARGIN
TEXT: Final = 12
SMALL: Final = 11
LETTER: Final = 0.62
"""Width of a letter in units of the text's size; DejaVu Sans Mono has 0.602."""
_LEADING: Final = 1.45
_INKS: Final = {"ink": "#1b1f24", "dim": "#57606a"}
_DARK: Final = (
    "@media (prefers-color-scheme:dark){.page{fill:#14171b}.ink{fill:#e6e8ea}"
    ".dim{fill:#a0a9b3}.line{stroke:#3a424b}}"
)


def reach(text: str, size: float) -> float:
    """Pixels that a text takes at most."""
    return columns(text) * size * LETTER


def fit(text: str, room: float, size: float) -> str:
    """As much of a text as there is room for.

    Args:
        text: any.
        room: pixels.
        size: of the text, in pixels.
    """
    if reach(text, size) <= room:
        return text
    return clip(text, max(1, int(room / (size * LETTER))))


def safe(text: str) -> str:
    """Text as XML may hold it, wherever it came from."""
    return escape(plain(text))


@dataclass(slots=True)
class Canvas:
    """A page that grows.

    Attributes:
        y: where the next thing begins, in pixels from above.
        parts: elements so far.
    """

    y: float = float(MARGIN)
    parts: list[str] = field(default_factory=list)

    def text(  # noqa: PLR0913 -- all but the first by keyword
        self,
        words: str,
        *,
        x: float = MARGIN,
        y: float,
        room: float,
        size: int = TEXT,
        style: str = "ink",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """One line of text.

        Args:
            words: cut where there is no room for them.
            x: of its start, or of its end or middle, as ``anchor`` says.
            y: of its base line.
            room: pixels.
            size: at least 11 can be read.
            style: ``ink`` or ``dim``.
            anchor: start, middle or end.
            bold: whether it stands out.
        """
        shown = fit(words, room, size)
        whole = f"<title>{safe(words)}</title>" if shown != words else ""
        end = f' text-anchor="{anchor}"' if anchor != "start" else ""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text class="{style}" fill="{_INKS[style]}" x="{x:.1f}" y="{y:.1f}" '
            f'font-size="{size}"{end}{weight}>{safe(shown)}{whole}</text>'
        )

    def box(self, at: tuple[float, float, float, float], fill: str, tip: str = "") -> None:
        """A rectangle: left, top, width, height; ``tip`` is shown when it is pointed at."""
        x, y, width, height = at
        told = f"<title>{safe(tip)}</title>" if tip else ""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{fill}">{told}</rect>'
        )

    def dot(self, x: float, y: float, fill: str, tip: str) -> None:
        """A small disk."""
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}"><title>{safe(tip)}</title>'
            "</circle>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """A thin line."""
        self.parts.append(
            f'<line class="line" stroke="#d0d7de" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" '
            f'y2="{y2:.1f}"/>'
        )

    def heading(self, words: str) -> None:
        """Begins a part of the page."""
        self.y += 28
        self.text(words, y=self.y, room=INNER, size=14, bold=True)
        self.y += 8

    def paragraph(self, words: str, *, style: str = "ink", bold: bool = False) -> None:
        """Text of as many lines as it needs."""
        letters = int(INNER / (TEXT * LETTER))
        if columns(words) > len(words):
            letters //= 2
        for line in textwrap.wrap(plain(words), letters) or [""]:
            self.y += TEXT * _LEADING
            self.text(line, y=self.y, room=INNER, style=style, bold=bold)

    def page(self, style: str = "", script: str = "") -> str:
        """The whole picture.

        Args:
            style: more rules of CSS.
            script: what makes it move. In neither may be anything of the traced machine.
        """
        height = round(self.y + MARGIN)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="ui-monospace, Menlo, Consolas, '
            f"'DejaVu Sans Mono', monospace\">\n<style>{_DARK}{style}</style>\n"
            '<rect class="page" width="100%" height="100%" fill="#fff"/>\n'
            + "\n".join(self.parts)
            + (f"\n<script><![CDATA[{script}]]></script>" if script else "")
            + "\n</svg>\n"
        )
