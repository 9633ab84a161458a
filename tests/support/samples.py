"""Samples of a cpuset from inside a container, each 100 ms, and what they say.

The program reads /proc/self/status, so a sample is the kernel's word on what this very
process may use at that moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

FILE = "/tmp/samples"
GO = "/tmp/go"
# Perl, because a shell would start a process for each pause, which an emulated CPU feels. Seconds
# come from /proc/uptime. Lines: seconds, CPUs, NUMA nodes.
SAMPLER = r"""
until [ -e /tmp/go ]; do sleep 1; done
exec perl -e '
  $| = 1;
  while (1) {
    open(my $up, "<", "/proc/uptime") or die; my ($now) = split " ", <$up>;
    open(my $status, "<", "/proc/self/status") or die;
    my %may = map { /^(Cpus|Mems)_allowed_list:\s*(\S*)/ ? ($1, $2) : () } <$status>;
    print "$now $may{Cpus} $may{Mems}\n";
    select(undef, undef, undef, 0.1);
  }' > /tmp/samples
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process might use at a moment.

    Attributes:
        seconds: since the node booted.
        cpus: cpulist.
        mems: NUMA nodes, in the same form.
    """

    seconds: float
    cpus: str
    mems: str


def parse(text: str) -> tuple[Sample, ...]:
    """Samples as the program wrote them; a last line without an end is left out."""
    whole = text[: text.rfind("\n") + 1]
    rows = (line.split() for line in whole.splitlines())
    return tuple(Sample(float(seconds), cpus, mems) for seconds, cpus, mems in rows)


def strays(samples: Iterable[Sample], *, cpus: str, mems: str) -> list[Sample]:
    """Samples that saw something else."""
    return [s for s in samples if (s.cpus, s.mems) != (cpus, mems)]


def longest_gap(samples: Iterable[Sample]) -> float:
    """Seconds between the two neighbours that are furthest apart; 0 with fewer than two."""
    times = [s.seconds for s in samples]
    return max((b - a for a, b in pairwise(times)), default=0.0)
