"""``numapin-agent``: reads its flags, runs until it is told to end, leaves pins as they are."""

import ctypes
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable

from numapin_agent.app import Agent
from numapin_agent.claim import claim
from numapin_agent.config import AgentConfig, parse
from numapin_agent.logs import set_up
from numapin_api.errors import NumapinError

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long one thread may keep the interpreter while another wants it."""


_M_ARENA_MAX = -8
"""glibc's malloc.h."""


def one_heap() -> None:
    """Have all threads allocate from one heap, where the C library has several (glibc).

    A heap for each thread saves them from waiting for each other, which the interpreter's lock
    makes them do anyway, and leaves holes in each.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def run(make: Callable[[AgentConfig], Agent]) -> None:
    """Make an agent from the command line and run it until SIGTERM or SIGINT.

    Args:
        make: makes the agent.
    """
    config = parse()
    one_heap()
    set_up(config.log_level, config.log_format)
    # A scrape must not hold up a pod that is about to start: by default a thread that computes
    # keeps all others waiting for 5 ms at a time, after each of their system calls.
    sys.setswitchinterval(SWITCH_SECONDS)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        agent = make(config)
    except (NumapinError, OSError) as e:
        log.error("can't start: %s", e)  # noqa: TRY400 -- for people; no bug of ours
        sys.exit(1)
    claim(config.state_dir)
    # Modules and models live as long as the process: no collection need look at them again.
    gc.collect()
    gc.freeze()
    agent.start()
    ended.wait()
    log.info("ending; pins stay")
    agent.stop()


def main() -> None:
    """Run the agent; the entry point of the package."""
    run(Agent)


if __name__ == "__main__":
    main()
