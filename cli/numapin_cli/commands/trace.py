"""``numapin trace PROBE``: asks a node's kernel by way of its agent, or this machine's."""

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from numapin_agent.trace.question import (
    HAVE_PATHS,
    PROBES,
    TAKES_STACKS,
    Question,
    QuestionError,
    Scope,
)
from numapin_cli.command import Command, cluster_options

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
    """An event that Ctrl-C and SIGTERM set, so that a trace ends with what it has.

    The second of a kind does what it always does: naming what was found may take long.
    """
    stop = threading.Event()

    def first(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, first) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(result: "Result", style: str) -> None:
    from numapin_cli.output import emit_text, note, width  # noqa: PLC0415 (--help needs none)
    from numapin_cli.views import svg, trace  # noqa: PLC0415

    if style == "svg":
        click.echo(svg.svg(result))
    elif style == "folded":
        click.echo(trace.folded(result))
        if not result.stacks:
            note("no call path was seen")
    else:
        emit_text(style, result.wire(), lambda: trace.text(result, max(trace.NARROW, width())))


@click.command(
    cls=Command,
    examples=(
        ("trace spike --pod shop/redis-0", "What makes a pod slow now and then"),
        ("trace syscalls --pod redis-0 -n shop --threshold 5ms", "Its system calls"),
        ("trace timers --node numa-0 --threshold 10ms", "Which timer holds up a node's CPUs"),
        ("trace page-faults --pod shop/redis-0 -o svg > faults.svg", "A flame graph"),
        ("trace function vfs_fsync_range --node numa-0 --stacks", "How long, and who calls it"),
        ("trace softirqs --pod shop/redis-0 --duration 1m -o json | jq .rows", "For programs"),
        ("trace syscalls --local --cgroup DIR", "Without Kubernetes, as root on the machine"),
    ),
)
@click.argument("probe", type=click.Choice(list(PROBES)), metavar="PROBE")
@click.argument("function", required=False)
@click.option("--pod", metavar="[NS/]POD", help="This pod, wherever it runs.")
@click.option(
    "-n",
    "--namespace",
    help="Of the pod, when --pod names none. That of the context by default.",
)
@click.option("--node", help="This whole node of the cluster.")
@click.option(
    "--numapin-namespace",
    help="With --node: where numapin is installed. By default it is looked for.",
)
@click.option("--local", is_flag=True, help="This machine. Needs root, no cluster.")
@click.option(
    "--cgroup",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --local: only this cgroup v2 directory, such as a pod's, and those below.",
)
@click.option(
    "--duration",
    "length",
    type=nanoseconds,
    metavar="TIME",
    default="10s",
    show_default=True,
    help="At most 10m; whole seconds, but for --local.",
)
@click.option(
    "--threshold",
    type=nanoseconds,
    metavar="TIME",
    default="1ms",
    show_default=True,
    help="timers, softirqs, hardirqs, syscalls and spike list single events from here on.",
)
@click.option("--stacks", is_flag=True, help="With function: who calls it.")
@cluster_options
@click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(("table", "json", "svg", "folded")),
    default="table",
    show_default=True,
    help="For people, for programs, as a picture (flame graphs, histograms), or call paths, one a "
    "line, for flame graph tools.",
)
def command(  # noqa: PLR0913 (one for each option)
    probe: str,
    function: str | None,
    *,
    pod: str | None,
    namespace: str | None,
    node: str | None,
    numapin_namespace: str | None,
    local: bool,
    cgroup: Path | None,
    length: int,
    threshold: int,
    stacks: bool,
    kubeconfig: Path | None,
    context: str | None,
    style: str,
) -> None:
    """Ask the kernel what it does to a pod, for a bounded time.

    The agent on the pod's node compiles a kernel program, counts for that time, answers
    and lets go; the pod is not touched. About a pod nothing is told of other pods.
    Nothing is needed on the node: no compiler, no kernel headers, no shell.

    \b
    timers       slowest timer callbacks, known causes with their remedy
    softirqs     by vector and CPU
    hardirqs     by device and CPU
    function     latency of one kernel function, and with --stacks who calls it
    run-queue    how long threads waited for a CPU
    off-cpu      where threads wait (call paths)
    syscalls     latency by system call, the slowest with their files and sockets
    numa-moves   NUMA page migrations, who causes them (call paths)
    page-faults  who makes them (call paths)
    netfilter    by hook, family and protocol; what each hook calls
    net-rx       receive path in stages, from interrupt to reader
    memory-wait  how much CPU time waits for memory: PMU, PSI, faults
    spike        names what overlapped slow system calls, and known remedies

    FUNCTION is the name of a kernel function, for the probe of that name. A node answers
    one trace at a time, or a few, and namespaces take turns: the command waits. A trace
    whose programs take more than 20 % of a CPU is ended, and shows what it has seen.

    The question is a NumaTrace: in the pod's namespace, or for a whole node in numapin's
    own. It takes the rights of the ClusterRole numapin-tracer there: a tenant can be given
    those of its own namespace. It is deleted when the answer is here.

    Ctrl-C deletes it, which ends the trace on the node, and nothing stays attached. With
    --local Ctrl-C ends the trace and shows what it has seen; python3-bpfcc and a kernel
    with BTF will do there.

    \b
    Exit status 0: the answer is shown
                1: there is none
                2: wrong usage
              130: Ctrl-C ended it, without --local
    """  # noqa: D301 (click wants the control character)
    from numapin_cli.tracing import spec  # noqa: PLC0415 (--help needs none of it)

    try:
        question = Question(probe, function, stacks=stacks, threshold=threshold)
        meant = spec.whom(
            pod=pod,
            node=node,
            local=local,
            namespace=namespace,
            numapin_namespace=numapin_namespace,
        )
        seconds = 0 if meant is None else spec.whole_seconds(length)
    except QuestionError as error:
        raise click.UsageError(str(error)) from error
    if cgroup is not None and not local:
        raise click.UsageError(f"--cgroup {cgroup} goes with --local only")
    if style == "folded" and (probe not in HAVE_PATHS or (probe in TAKES_STACKS and not stacks)):
        have = "call paths with --stacks only" if probe in HAVE_PATHS else "no call paths"
        raise click.UsageError(f"-o folded: {probe} has {have}")
    if meant is None:
        for option, said in (("--kubeconfig", kubeconfig), ("--context", context)):
            if said is not None:
                raise click.UsageError(f"{option} {said}: --local asks no cluster; leave it out")
        result = _here(question, cgroup, length)
    else:
        from numapin_cli.connect import Where  # noqa: PLC0415
        from numapin_cli.tracing import there  # noqa: PLC0415

        result = there.result(Where(kubeconfig, context), question, meant, seconds=seconds)
    _show(result, style)


def _here(question: Question, cgroup: Path | None, length: int) -> "Result":
    """The answer of this machine's kernel."""
    from numapin_agent.hostpaths import HostPaths  # noqa: PLC0415 (--help needs none of it)
    from numapin_agent.trace.run import hierarchy, run, scope_of  # noqa: PLC0415
    from numapin_cli.output import note  # noqa: PLC0415

    paths = HostPaths()
    scope = Scope()
    if cgroup is not None:
        cgroup = cgroup.resolve()
        scope = scope_of(cgroup, hierarchy(paths), f"cgroup {cgroup.name}")

    live = sys.stderr.isatty()

    def say(words: str) -> None:
        if live:
            click.echo(f"\r\033[K{words}", nl=False, err=True)

    def progress(seconds: float) -> None:
        say(f"{question.probe}: {seconds:.0f} of {length / 1e9:.0f} s")

    if live:
        say(f"{question.probe}: compiling")
    else:
        note(f"{question.probe}: takes {length / 1e9:g} s, and compiling before that")
    try:
        with _stopped_by_signals() as stop:
            return run(
                question,
                scope,
                seconds=length / 1e9,
                paths=paths,
                stop=stop,
                progress=progress,
            )
    finally:
        # An error, too, begins with a line of its own.
        say("")
