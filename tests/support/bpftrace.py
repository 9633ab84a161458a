"""Debian's bpftrace as a second witness: what it counts while a probe of ours runs.

It prints its totals ten times a second. A total was read at some moment between ``nsecs`` in
the kernel and its arrival here, so for any stretch of time there are totals that surely span
more than it and totals that surely span less: what a probe counted has to lie between the two,
and no tolerance is needed.
"""

import bisect
import json
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.buckets import Buckets, of_bpftrace
from support.wait import until

_SWITCHED_TO = """
  if (@begun[args->next_pid]) {
    @count[0] = count(); @took[0] = hist(nsecs - @begun[args->next_pid]);
    delete(@begun[args->next_pid]);
  }"""
SCRIPTS: Mapping[str, str] = {
    "softirqs": """
tracepoint:irq:softirq_entry { @begun[cpu, args->vec] = nsecs; }
tracepoint:irq:softirq_exit /@begun[cpu, args->vec]/ {
  @count[args->vec] = count(); @took[args->vec] = hist(nsecs - @begun[cpu, args->vec]);
  delete(@begun[cpu, args->vec]);
}""",
    "hardirqs": """
tracepoint:irq:irq_handler_entry { @begun[cpu, args->irq] = nsecs; }
tracepoint:irq:irq_handler_exit /@begun[cpu, args->irq]/ {
  @count[args->irq] = count(); @took[args->irq] = hist(nsecs - @begun[cpu, args->irq]);
  delete(@begun[cpu, args->irq]);
}""",
    "timers": """
tracepoint:timer:hrtimer_expire_entry {
  @begun[args->hrtimer] = nsecs; @function[args->hrtimer] = args->function;
}
tracepoint:timer:hrtimer_expire_exit /@begun[args->hrtimer]/ {
  @count[ksym(@function[args->hrtimer])] = count();
  @took[ksym(@function[args->hrtimer])] = hist(nsecs - @begun[args->hrtimer]);
  delete(@begun[args->hrtimer]); delete(@function[args->hrtimer]);
}""",
    "syscalls": """
tracepoint:raw_syscalls:sys_enter { @begun[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /@begun[tid]/ {
  @count[args->id] = count(); @took[args->id] = hist(nsecs - @begun[tid]);
  delete(@begun[tid]);
}""",
    # prev_state is 0 for a thread that could run on, and 256 (TASK_REPORT_MAX) when preempted.
    "run-queue": f"""
tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new /args->pid/ {{
  @begun[args->pid] = nsecs;
}}
tracepoint:sched:sched_switch {{
  if (args->prev_pid && (args->prev_state & 255) == 0) {{ @begun[args->prev_pid] = nsecs; }}
  {_SWITCHED_TO}
}}""",
    "off-cpu": f"""
tracepoint:sched:sched_switch {{
  if (args->prev_pid) {{ @begun[args->prev_pid] = nsecs; }}
  {_SWITCHED_TO}
}}""",
    "page-faults": "software:page-faults:1 { @count[0] = count(); }",
}
"""The probe's like in bpftrace: ``@count`` by what its rows are of, ``@took`` their times."""

_COMMAND = (
    *("unshare", "--mount", "sh", "-ec"),
    # Where nobody has mounted tracefs, bpftrace finds no tracepoint; here only bpftrace sees it.
    "[ -e /sys/kernel/tracing/events ] || mount -t tracefs nodev /sys/kernel/tracing; "
    'exec bpftrace "$@"',
    "bpftrace",
)
_PRINT = 'interval:ms:100 { printf("%llu\\n", nsecs); print(@count); }'


def why_not() -> str | None:
    """Why there is no second witness; None when there is."""
    if shutil.which("bpftrace") is None:
        return "bpftrace is not installed"
    done = subprocess.run(
        [*_COMMAND, "-e", "tracepoint:raw_syscalls:sys_enter { exit(); }"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return None if done.returncode == 0 else f"bpftrace: {done.stderr.strip()[-200:]}"


@dataclass(frozen=True)
class Total:
    """What was counted by key.

    Attributes:
        earliest: CLOCK_MONOTONIC nanoseconds before which it was not read.
        latest: after which it was not.
        counts: by key.
    """

    earliest: int
    latest: int
    counts: Mapping[str, int]


class Witness:
    """What a bpftrace that runs prints.

    Args:
        child: it.
        said: file of its standard error.
    """

    def __init__(self, child: "subprocess.Popen[str]", said: Path) -> None:
        self._child = child
        self._said = said
        self._totals: list[Total] = []
        self.took: dict[str, Buckets] = {}
        """By key; there when it has ended."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def await_first(self) -> None:
        """Wait until it is attached and counts."""

        def counts() -> bool:
            assert self._child.poll() is None, f"bpftrace has ended: {self._said.read_text()}"
            return bool(self._totals)

        until(counts, what="bpftrace to count", seconds=60)

    def end(self) -> None:
        """Have it print its histograms, and wait until they are read."""
        self._child.send_signal(signal.SIGINT)
        self._child.wait(30)
        self._reader.join(30)

    def await_total(self) -> None:
        """Wait for a total that was read after now."""
        now = time.monotonic_ns()
        until(lambda: self._totals[-1].earliest > now, what="bpftrace's next total", seconds=30)

    def between(self, begin: int, end: int, key: str, *, within: bool) -> int:
        """How many there were.

        Args:
            begin: CLOCK_MONOTONIC nanoseconds.
            end: the same.
            key: of ``@count``.
            within: in a stretch that surely lies within, else in one that surely lies around.
        """
        latest = [total.latest for total in self._totals]
        earliest = [total.earliest for total in self._totals]
        if within:
            first, last = bisect.bisect_left(earliest, begin), bisect.bisect_right(latest, end) - 1
        else:
            first, last = bisect.bisect_right(latest, begin) - 1, bisect.bisect_left(earliest, end)
        counts = [self._totals[i].counts.get(key, 0) for i in (first, last)]
        return counts[1] - counts[0]

    def _read(self) -> None:
        read_from = 0
        assert self._child.stdout is not None
        for line in self._child.stdout:
            now = time.monotonic_ns()
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if told["type"] == "printf":
                read_from = int(told["data"])
            elif told["type"] == "map" and "@count" in told["data"] and read_from:
                self._totals.append(Total(read_from, now, told["data"]["@count"]))
                read_from = 0
            elif told["type"] == "hist":
                took = told["data"].get("@took", {})
                self.took |= {key: of_bpftrace(printed) for key, printed in took.items()}


@contextmanager
def witness(probe: str) -> Iterator[Witness]:
    """bpftrace beside a probe, for as long as the context lasts.

    Args:
        probe: a key of ``SCRIPTS``.
    """
    command = [*_COMMAND, "-f", "json", "-e", SCRIPTS[probe] + _PRINT]
    with (
        tempfile.NamedTemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as child,
    ):
        found = Witness(child, Path(said.name))
        try:
            found.await_first()
            yield found
        finally:
            found.end()
