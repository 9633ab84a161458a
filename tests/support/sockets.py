"""Where tests put Unix sockets."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory for sockets: the kernel takes paths of 107 bytes, and pytest's are long."""
    with tempfile.TemporaryDirectory(prefix="np-") as found:
        yield Path(found)
