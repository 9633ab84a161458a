"""What a signal says of the attempts before the one that holds."""

import pytest

from numapin_agent.counters.loader import Pending
from numapin_agent.counters.plan import Attempt, SignalPlan

BEST, CAREFUL = Attempt("fentry", ()), Attempt("kprobe", (), "a caveat")


@pytest.mark.parametrize(
    ("failures", "attempt", "reason"),
    [
        ([], BEST, "the plan's reason"),
        (["no fentry"], CAREFUL, "a caveat; no fentry"),
        (["no fentry", "no kprobe"], None, "no fentry; no kprobe"),
        (["no bpf", "no bpf"], None, "no bpf"),
    ],
)
def test_a_signal_says_why_no_better_attempt_is_in_force(failures, attempt, reason):
    pending = Pending(SignalPlan("hintFaults", (BEST, CAREFUL), "the plan's reason"))
    for failure in failures:
        pending.fail(failure)
    assert (pending.attempt, pending.reason) == (attempt, reason)
