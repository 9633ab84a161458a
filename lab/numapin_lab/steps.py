"""Says what the lab is doing and how long it took, on stderr so that stdout stays data.

Deliberately no logging framework: a step's own output goes to a file that is named when the
step fails.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from numapin_api.errors import LabError

_TAIL_LINES = 15


@dataclass(slots=True)
class Steps:
    """Shows progress and remembers each step's seconds.

    Attributes:
        console: where to show it; None is silent (library use).
        seconds: step name to seconds, in the order of their ends.
    """

    console: Console | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """One line that is not a step."""
        if self.console is not None:
            self.console.print(text, markup=False, highlight=False)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show that `name` has begun, and its time at the end, or that it failed."""
        begun = time.monotonic()
        console = self.console
        live = console is not None and console.is_terminal
        if console is not None and not live:
            console.print(f"· {name} …", markup=False, highlight=False)
        try:
            if live and console is not None:
                with console.status(name):
                    yield
            else:
                yield
        except BaseException:
            if console is not None:
                console.print(
                    f"[red]✗[/red] {name}  {_clock(time.monotonic() - begun)}", highlight=False
                )
            raise
        self.seconds[name] = time.monotonic() - begun
        if console is not None:
            console.print(
                f"[green]✓[/green] {name}  [dim]{_clock(self.seconds[name])}[/dim]",
                highlight=False,
            )


def _clock(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """Last lines of a log, empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 32_768))
        text = file.read().decode(errors="replace")
    return "\n".join(text.replace("\r", "").splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a build command with its output in `log`.

    Args:
        argv: program and arguments.
        log: appended to; named in the error.
        env: added to ours.
        cwd: where to run it.

    Raises:
        LabError: it is not installed, or failed; with the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    args = [str(a) for a in argv]
    with log.open("a") as out:
        out.write(f"+ {' '.join(args)}\n")
        out.flush()
        try:
            done = subprocess.run(
                args,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                check=False,
            )
        except FileNotFoundError as error:
            raise LabError(f"{args[0]} is not installed") from error
    if done.returncode != 0:
        raise LabError(
            f"{args[0]} failed with status {done.returncode}; the log is {log}, its end:\n"
            f"{tail(log)}"
        )
