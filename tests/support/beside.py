"""A probe of numapin and a tool of the distribution on one node, over the same moment.

The tool counts before the probe does. A script on the node sees the probe's programs attached and
detached, and at either moment tells the tool: only what it counted meanwhile is taken. That
is some tenths of a second off, so rates are compared, of a node whose work doesn't change much.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from support.buckets import check_quantile
from support.guest_tools import RUN, Counted, Tool
from support.traced import traced
from support.world import World

from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.result import Result
from numapin_lab.demo.cluster import eventually

NODE = "numa-0"
SECONDS = 60
_WATCH = """
attached() {{ bpftool link list | grep -cE '^[0-9]+: (raw_tracepoint|tracing|perf_event)'; }}
now() {{ cut -d' ' -f1 /proc/uptime; }}
before=$(attached); touch {run}/armed
until [ $(attached) -gt $before ]; do sleep 0.2; done
{begin}; now >{run}/times
had=$before; have=$(attached)
until [ $had = $have ]; do sleep 1; had=$have; have=$(attached); done
until [ $(attached) -lt $have ]; do sleep 0.2; done
{end}; now >>{run}/times
"""


@dataclass(frozen=True, slots=True)
class Both:
    """What both have told.

    Attributes:
        ours: the probe's answer.
        theirs: what the tool counted, by its own names.
        seconds: for how long it did.
    """

    ours: Result
    theirs: Mapping[str, Counted]
    seconds: float


def both(
    world: World,
    tool: Tool,
    *probe: str,
    whom: tuple[str, str] = ("--node", NODE),
    seconds: int = SECONDS,
) -> Both:
    """Ask both; again when the emulator, and so the node, crashed meanwhile.

    Args:
        world: with steady work on numa-0.
        tool: of the distribution.
        probe: arguments of ``numapin trace`` but for how long.
        whom: of them, whose events count.
        seconds: for how long; the more, the more bursty what is counted.
    """
    for _ in range(3):
        crashes = world.patching_crashes()
        try:
            return _both(world, tool, (*probe, *whom, "--duration", f"{seconds}s"))
        except AssertionError:
            if world.patching_crashes() == crashes:
                raise
            print(f"asked again, an emulated node crashed: {world.patching_crashes()}")
            world.agent(NODE)
    raise AssertionError("the node has crashed each time")


def _both(world: World, tool: Tool, probe: tuple[str, ...]) -> Both:
    stop(world)
    world.ssh(NODE, f"mkdir -p {RUN}")
    _start(world, "tool", tool.command(world, NODE))
    try:
        eventually(
            lambda: tool.attached in said(world, "tool"), seconds=300, what="the tool is attached"
        )
        begin, end = tool.tell
        _start(world, "watch", _WATCH.format(run=RUN, begin=begin, end=end))
        eventually(lambda: said(world, "armed", "ls"), seconds=60, what="the node watches")
        ours = traced(world, *probe)
        eventually(lambda: said(world, "tool.rc"), seconds=180, what="the tool has ended")
        begun, ended = map(float, said(world, "times").split())
        return Both(ours, tool.read(said(world, "tool")), ended - begun)
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"{error}; the tool said: {said(world, 'tool')[-2000:]}") from error
    finally:
        stop(world)


def said(world: World, name: str, by: str = "cat") -> str:
    """Text of a file in the node's directory for this, empty where there is none."""
    return world.ssh(NODE, f"{by} {RUN}/{name} 2>/dev/null || true")


def _start(world: World, name: str, script: str) -> None:
    run = shlex.quote(f"sh -c {shlex.quote(script)}; echo $? >{RUN}/{name}.rc")
    world.ssh(
        NODE,
        f"setsid sh -c {run} </dev/null >{RUN}/{name} 2>&1 & echo $! >{RUN}/{name}.pid",
    )


def stop(world: World) -> None:
    """End what runs, and forget what it said."""
    world.ssh(
        NODE,
        f"for one in {RUN}/*.pid; do [ ! -e $one ] || kill -- -$(cat $one) 2>/dev/null || true; "
        f"done; rm -rf {RUN}",
    )


def check(name: str, ours: Histogram, theirs: Counted, both_told: Both) -> str:
    """Fail unless rates differ by at most 5 % and histograms by at most a bucket.

    Returns:
        both, for people.
    """
    here = ours.count / both_told.ours.seconds
    there = theirs.count / both_told.seconds
    told = f"{name}: {here:.1f}/s, tool {there:.1f}/s ({100 * (here / there - 1):+.1f} %)"
    for share in (0.5, 0.9) if theirs.buckets else ():
        told += f"; {check_quantile(theirs.buckets, ours, share)}"
    assert abs(here / there - 1) <= 0.05, told
    return told
