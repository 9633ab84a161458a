"""What every bench hands over: rows with units, and the bed that it runs on.

A bench is a module beside this one with

    TITLE = "what is measured"
    NEEDS_LAB = True

    def measure(bed: Bed) -> Iterable[Row]: ...

``python -m bench.run`` finds it, runs it and prints its table. A bench measures and compares; it
never prints and never rounds. Import as ``from bench.harness import Bed, Row``: modules here
may be called like ones of the standard library (``operator``), so this folder itself must
not be on ``sys.path``.
"""

import math
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from numapin_lab import nodes
from numapin_lab.lab import Lab


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number.

    Attributes:
        what: was measured, and over what.
        value: the number, not rounded; NaN when it could not be had.
        unit: such as ms, MB, pages/s, or ``x`` for a ratio.
        goal: what it should be, with unit, if there is such a thing.
        met: whether it is; None without a goal.
    """

    what: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Bed:
    """Where a bench runs: this machine, and the lab for those that need it.

    Attributes:
        lab: up, with numapin in it, when the bench has ``NEEDS_LAB``.
    """

    lab: Lab

    def ssh(self, node: str, script: str, *, seconds: float = 600) -> str:
        """Output of a shell script on a node of the lab.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        return self._run(nodes.ssh(self.lab.node(node), self.lab.paths, [script]), seconds)

    def kubectl(self, *args: str, said: str = "", seconds: float = 120) -> str:
        """Output of kubectl against the lab; ``said`` is its standard input."""
        program = self.lab.programs() / "kubectl"
        return self._run([program, "--kubeconfig", self.lab.paths.kubeconfig, *args], seconds, said)

    @staticmethod
    def _run(argv: Sequence[str | Path], seconds: float, said: str = "") -> str:
        done = subprocess.run(
            [str(a) for a in argv],
            input=said,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=seconds,
            env=os.environ,
        )
        return done.stdout


class Bench(Protocol):
    """What a module here offers."""

    TITLE: str
    NEEDS_LAB: bool

    def measure(self, bed: Bed) -> Iterable[Row]:
        """Measure."""


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least so many percent of all do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or percent is not within 0 and 100.
    """
    ordered = sorted(values)
    if not ordered or not 0 <= percent <= 100:
        raise ValueError(f"no {percent}th percentile of {len(ordered)} values")
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
