"""The form of ``.lab/demo-latency/report.json``: what other programs may read of it. Form only."""

from typing import Annotated

from pydantic import Field

from numapin_lab.demo.report import Part

Milliseconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Timer(Part):
    """A function of the kernel that timers call."""

    function: str
    count: Count
    """Calls in the window."""
    max_ms: Milliseconds
    total_ms: Milliseconds


class Requests(Part):
    """What a client of redis saw in the window."""

    count: Count
    slow: Count
    """Of at least ``slowMs``."""
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    p999_ms: Milliseconds
    max_ms: Milliseconds


class Window(Part):
    """Before or after the remedy."""

    seconds: Annotated[float, Field(gt=0)]
    """In which requests were measured, while nothing was traced."""
    requests: Requests
    timers: list[Timer]
    """Of the whole node, slowest call first, traced right after ``requests``."""


class Culprit(Part):
    """What ``numapin trace spike`` found to overlap slow system calls of redis."""

    name: str
    calls: Count
    """Slow calls that it covered for the most part."""
    longest_ms: Milliseconds


class Named(Part):
    """A known cause, as numapin names it."""

    name: str
    says: str
    remedy: str


class LatencyReport(Part):
    """A whole latency demo."""

    kernel: str
    services: Count
    """Of IPVS."""
    slow_ms: Milliseconds
    """Half of what the culprit's slowest call took before: what it held up takes longer."""
    before: Window
    after: Window
    culprits: list[Culprit]
    """Before the remedy, those of most slow calls first."""
    culprits_after: list[Culprit]
    """The same after it."""
    causes: list[Named]
    """That numapin named before the remedy."""
    remedy: str
    """The command that was run on the node."""
    seconds: Annotated[float, Field(ge=0)]
    """That the whole demo took."""

    def text(self) -> str:
        """The JSON that is written, with a newline at its end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"
