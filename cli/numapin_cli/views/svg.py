"""An answer as a picture, complete in one file: all that the table says, drawn.

Pure. Runs no code but the flame graph's own: what comes from the traced machine is escaped and
only ever text.
"""

from numapin_agent.trace.result import Result
from numapin_cli.views import bars, flame, slow
from numapin_cli.views.canvas import INNER, Canvas
from numapin_cli.views.trace import amount, cost, missing


def svg(result: Result) -> str:
    """The whole picture: causes and culprits first, then call paths, single events and rows."""
    canvas = Canvas()
    canvas.y += 8
    title = f"{result.probe}, {result.scope}, {result.seconds:.1f} s"
    canvas.text(title, y=canvas.y, room=INNER, size=16, bold=True)
    canvas.y += 4
    if result.ended != "complete":
        canvas.paragraph(f"ended early: {result.why}")
    if not (result.rows or result.figures or result.stacks):
        canvas.paragraph("nothing was seen")
    slow.causes(canvas, result.causes)
    slow.culprits(canvas, result)
    if result.stacks:
        flame.draw(canvas, result)
    slow.when(canvas, result)
    slow.each(canvas, result)
    if result.figures:
        canvas.heading("Counted")
        for figure in result.figures:
            canvas.paragraph(f"{figure.name}: {amount(figure.value)} {figure.unit}")
    bars.draw(canvas, result.rows)
    _notes(canvas, result)
    canvas.y += 8
    canvas.paragraph(cost(result), style="dim")
    return canvas.page(flame.STYLE, flame.SCRIPT) if result.stacks else canvas.page()


def _notes(canvas: Canvas, result: Result) -> None:
    sentences = [*result.notes, *result.untold, *missing(result)]
    if sentences:
        canvas.heading("Notes")
        for sentence in sentences:
            canvas.paragraph(sentence)
