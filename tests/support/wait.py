"""Waits for a condition instead of for a time."""

from collections.abc import Callable
from typing import TypeVar

import tenacity

T = TypeVar("T")


def until(found: Callable[[], T], *, what: str, seconds: float = 10.0) -> T:
    """Ask again and again until the answer is true, and return it.

    Args:
        found: asked every 50 ms; what it raises passes through.
        what: named when the time is over.
        seconds: how long to wait at most.

    Raises:
        AssertionError: it did not come true in time.
    """
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda answer: not answer),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(seconds),
    )
    try:
        return retry(found)
    except tenacity.RetryError as error:
        raise AssertionError(f"waited {seconds:g} s for {what}") from error
