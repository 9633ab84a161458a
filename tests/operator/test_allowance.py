"""How often one key may be written, whatever its writer does."""

from hypothesis import given
from hypothesis import strategies as st

from numapin_operator.allowance import BURST, REFILL_SECONDS, Allowance


def test_a_burst_at_once_and_then_one_each_refill():
    allowance: Allowance[str] = Allowance()
    for _ in range(BURST):
        assert allowance.wait("a", now=100.0) == 0
        allowance.spend("a", now=100.0)
    assert allowance.wait("a", now=100.0) == REFILL_SECONDS
    assert allowance.wait("a", now=104.0) == REFILL_SECONDS - 4
    assert allowance.wait("b", now=100.0) == 0
    assert allowance.wait("a", now=110.0) == 0


@given(st.lists(st.floats(min_value=0, max_value=60), min_size=1, max_size=300))
def test_no_rhythm_gets_more_than_the_rate(pauses: list[float]):
    allowance: Allowance[str] = Allowance()
    now, written = 0.0, 0
    for pause in pauses:
        now += pause
        if allowance.wait("a", now=now) == 0:
            allowance.spend("a", now=now)
            written += 1
        # The tolerance is for sums of floats.
        assert written <= BURST + now / REFILL_SECONDS + 1e-6


def test_keys_that_have_been_quiet_are_forgotten():
    allowance: Allowance[int] = Allowance()
    for key in range(1000):
        allowance.spend(key, now=0.0)
    allowance.spend(-1, now=BURST * REFILL_SECONDS + 1)
    assert len(allowance) == 1
