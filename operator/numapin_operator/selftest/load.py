"""What the pod does that is pinned for a try: two threads that touch memory now and then.

An idle pod gives no signal, and hint faults of one thread alone prove nothing. Nothing but the
standard library is imported, so that a slow node has it running soon.
"""

import threading
import time
from typing import Final

_BYTES: Final = 32 << 20
_PAGE: Final = 4096
_BUSY_SECONDS: Final = 0.01
_PAUSE_SECONDS: Final = 0.1
"""Together a tenth of a CPU for each thread: far more than what counts as idle."""


def touch(memory: bytearray) -> None:
    """Write one byte of each page."""
    memory[::_PAGE] = bytes(len(memory) // _PAGE)


def run() -> None:
    """Touch memory until the process is killed."""
    memory = bytearray(_BYTES)
    while True:
        until = time.monotonic() + _BUSY_SECONDS
        while time.monotonic() < until:
            touch(memory)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    threading.Thread(target=run, daemon=True).start()
    run()
