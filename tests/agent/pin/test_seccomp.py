"""Under a seccomp profile without move_pages(2), as all container runtimes' default ones are."""

import json
import os
import subprocess
import sys

import pytest
from support.capabilities import why_not

# Linux puts the number of the system call first in what a filter sees (struct seccomp_data).
FILTERED = """
import ctypes, errno, json, struct, sys
from pathlib import Path
from numapin_agent.pin.mover import PageMover
from numapin_agent.pin.syscall import _NUMBERS, MovePages
import platform
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
code = b"".join(struct.pack("=HBBI", *one) for one in (
    (LOAD, 0, 0, 0),
    (IF_EQUAL, 0, 1, _NUMBERS[platform.machine()]),
    (RETURN, 0, 0, ERRNO | errno.EPERM),
    (RETURN, 0, 0, ALLOW),
))
mover = PageMover(proc=Path("/proc"), calls=MovePages(), available=dict)
before = mover.immovable()
held = ctypes.create_string_buffer(code)
program = struct.pack("@HP", 4, ctypes.addressof(held))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
print(json.dumps([before, mover.immovable()]))
"""


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_the_mover_says_that_the_call_is_forbidden():
    done = subprocess.run(
        [sys.executable, "-c", FILTERED],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    before, after = json.loads(done.stdout)
    assert before is None
    assert after == (
        "move_pages(2): Operation not permitted; does the agent's seccomp profile forbid it?"
    )
