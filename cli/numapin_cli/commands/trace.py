"""``numapin trace PROBE --local``: asks this machine's kernel; needs root, no cluster."""

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from numapin_agent.trace.question import PROBES, Question, QuestionError, Scope
from numapin_cli.command import Command

if TYPE_CHECKING:
    from numapin_agent.trace.result import Result

_UNITS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9}


def nanoseconds(text: str) -> int:
    """A duration such as 500us, 16ms, 10s or 2m.

    Raises:
        click.BadParameter: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m)", text)
    if found is None:
        raise click.BadParameter(f"{text!r}: must be a number with ns, us, ms, s or m, like 10s")
    return round(float(found[1]) * _UNITS[found[2]])


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a trace ends with what it has."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(result: "Result", style: str) -> None:
    from numapin_cli.output import emit_text  # noqa: PLC0415 (--help needs none of these)
    from numapin_cli.views import flame, trace  # noqa: PLC0415

    if style == "svg":
        click.echo(flame.svg(result))
    elif style == "folded":
        click.echo(trace.folded(result))
    else:
        emit_text(style, result.wire(), lambda: trace.text(result))


@click.command(
    cls=Command,
    examples=(
        ("trace timers --local --threshold 10ms", "Which timer holds up a CPU"),
        ("trace syscalls --local --cgroup DIR", "System calls of one pod, by its cgroup"),
        ("trace function vfs_fsync_range --local --stacks", "How long, and who calls it"),
        ("trace page-faults --local -o svg > faults.svg", "A flame graph"),
    ),
)
@click.argument("probe", type=click.Choice(list(PROBES)))
@click.argument("function", required=False)
@click.option("--local", is_flag=True, required=True, help="This machine. Needs root.")
@click.option(
    "--cgroup",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Only this cgroup v2 directory, such as a pod's, and those below. The node by default.",
)
@click.option(
    "--duration",
    "length",
    type=nanoseconds,
    metavar="TIME",
    default="10s",
    show_default=True,
    help="At most 10m.",
)
@click.option(
    "--threshold",
    type=nanoseconds,
    metavar="TIME",
    default="1ms",
    show_default=True,
    help="Single events are listed from here on.",
)
@click.option("--stacks", is_flag=True, help="With function: who calls it.")
@click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(("table", "json", "svg", "folded")),
    default="table",
    show_default=True,
    help="For people, for programs, as a picture, or call paths for flame graph tools.",
)
def command(  # noqa: PLR0913 (one for each option)
    probe: str,
    function: str | None,
    *,
    local: bool,  # noqa: ARG001 (required: nothing else can be traced)
    cgroup: Path | None,
    length: int,
    threshold: int,
    stacks: bool,
    style: str,
) -> None:
    r"""Ask the kernel what it does to a pod, for a bounded time.

    Ctrl-C ends a trace and shows what it has seen; nothing stays attached. Without a
    compiler, headers or a shell on the node: python3-bpfcc and a kernel with BTF will do.

    \b
    timers       slowest timer callbacks, known causes with their remedy
    softirqs     by vector and CPU
    hardirqs     by device and CPU
    function     latency of one kernel function
    run-queue    how long threads waited for a CPU
    off-cpu      where threads wait (flame graph)
    syscalls     latency by system call
    numa-moves   NUMA page migrations
    page-faults  who makes them (flame graph)
    netfilter    by hook, family and protocol
    net-rx       receive path in stages
    memory-wait  how much CPU time waits for memory
    spike        names what overlapped slow system calls
    """
    from numapin_agent.hostpaths import HostPaths  # noqa: PLC0415 (--help needs none of it)
    from numapin_agent.trace.run import hierarchy, run, scope_of  # noqa: PLC0415

    try:
        question = Question(probe, function, stacks=stacks, threshold=threshold)
    except QuestionError as error:
        raise click.UsageError(str(error)) from error
    paths = HostPaths()
    scope = Scope()
    if cgroup is not None:
        cgroup = cgroup.resolve()
        scope = scope_of(cgroup, hierarchy(paths), f"cgroup {cgroup.name}")
    if style == "folded" and probe not in {"page-faults", "off-cpu", "numa-moves", "function"}:
        raise click.UsageError(f"-o folded: {probe} has no call paths")

    def progress(seconds: float) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{probe}: {seconds:.0f} of {length / 1e9:.0f} s ", nl=False, err=True)

    with _stopped_by_signals() as stop:
        result = run(
            question,
            scope,
            seconds=length / 1e9,
            paths=paths,
            directory=cgroup,
            stop=stop,
            progress=progress,
        )
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    _show(result, style)
