"""For how long lost alarms are told of."""

import pytest

from numapin_agent.guard.missed import SHOWN_SECONDS, Missed


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([(0, 0)], None),
        ([(0, 5)], 5),
        ([(0, 5), (30, 5)], 5),
        ([(0, 5), (30, 7)], 7),
        ([(0, 5), (SHOWN_SECONDS - 1, 5)], 5),
        ([(0, 5), (SHOWN_SECONDS, 5)], None),
        # What was shown and is over is not told again; what came late is shown from then on.
        ([(0, 5), (SHOWN_SECONDS, 6)], 1),
        ([(0, 5), (SHOWN_SECONDS - 1, 6), (SHOWN_SECONDS + 1, 6)], 6),
    ],
)
def test_what_is_told_after_these_looks(looks, told):
    missed = Missed()
    for at, total in looks:
        missed = missed.seen(total, at=at)
    messages = [reason.message.split()[0] for reason in missed.reasons()]
    assert messages == ([] if told is None else [str(told)])
