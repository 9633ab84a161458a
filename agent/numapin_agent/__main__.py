"""``numapin-agent``: reads its flags, runs until it is told to end, leaves pins as they are."""

import logging
import signal
import sys
import threading

from numapin_agent.app import Agent
from numapin_agent.config import parse
from numapin_agent.logs import set_up
from numapin_api.errors import NumapinError

log = logging.getLogger(__name__)


def main() -> None:
    """Run the agent; the entry point of the package."""
    config = parse()
    set_up(config.log_level, config.log_format)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        agent = Agent(config)
    except (NumapinError, OSError) as e:
        log.error("can't start: %s", e)  # noqa: TRY400 -- for people; no bug of ours
        sys.exit(1)
    agent.start()
    ended.wait()
    log.info("ending; pins stay")
    agent.stop()


if __name__ == "__main__":
    main()
