"""A program that does what each probe can tell of, under names that are nobody else's.

Run in a container, by a Python on x86-64: ``tenant.py NAME NUMBER CALL CHATTER``. What an answer
may tell of it has its name or number: process, pipe, library, function, address and port. Ten times
a second it makes the system call CALL and sends itself CHATTER messages.
"""

import ctypes
import importlib.util
import mmap
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

# for each of rsi pages from rdi on: write a byte into it
CODE = bytes.fromhex("c60701 4881c700100000 48ffce 75f1 c3")
PAGES = 64
PAUSE = 0.1
WAIT = 1.5
"""Seconds; longer than what others on a node wait for, but for a few."""


def be(name: str, arguments: list[str]) -> None:
    """Go on as a process of that name."""
    program = f"/tmp/tenant-{name}"
    if os.path.realpath("/proc/self/exe") != program:
        shutil.copy(os.path.realpath(sys.executable), program)
        os.execv(program, [program, *arguments])


def library(name: str) -> ModuleType:
    """Python's mmap from a file of its own: what it does has no names but the file's."""
    own = f"/tmp/library-{name}.so"
    shutil.copy(str(mmap.__file__), own)
    spec = importlib.util.spec_from_file_location("mmap", own)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function(name: str) -> Any:
    """A function made at run time, which a perf map names."""
    room = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    room.write(CODE)
    at = ctypes.addressof(ctypes.c_char.from_buffer(room))
    Path(f"/tmp/perf-{os.getpid()}.map").write_text(f"{at:x} {len(CODE):x} jitted_{name}\n")
    made = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)(at)
    made.room = room  # type: ignore[attr-defined]
    return made


def fault(own: ModuleType, touch: Any) -> None:
    """So many new pages by the library, and as many by the function."""
    half = PAGES * mmap.PAGESIZE
    with own.mmap(-1, 2 * half, flags=mmap.MAP_PRIVATE) as pages:
        pages.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, half, mmap.PAGESIZE):
            pages[at] = 1
        begin = ctypes.c_char.from_buffer(pages, half)
        touch(ctypes.addressof(begin), PAGES)
        del begin


def pair(number: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback."""
    with socket.create_server((f"127.0.{number}.1", 4000 + number)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return here, there


def wake(there: socket.socket, pipe: str) -> None:
    with Path(pipe).open("wb", buffering=0) as into:
        while True:
            time.sleep(WAIT)
            there.send(b"x")
            into.write(b"x")


def hear(here: socket.socket, node: tuple[str, int]) -> None:
    """Wait for packets over loopback, and send one to the node."""
    outside = socket.socket(type=socket.SOCK_DGRAM)
    while here.recv(1):
        outside.sendto(b"x", node)


def read(pipe: str) -> None:
    with Path(pipe).open("rb", buffering=0) as waits:
        while waits.read(1):
            pass


def main(name: str, number: str, call: str, chatter: str) -> None:
    be(name, sys.argv)
    own, touch = library(name), function(name)
    here, there = pair(int(number))
    pipe = f"/tmp/pipe-{name}"
    os.mkfifo(pipe)
    node = (os.environ["NODE_IP"], 4000 + int(number))
    for act in (lambda: wake(there, pipe), lambda: hear(here, node), lambda: read(pipe)):
        threading.Thread(target=act, daemon=True).start()
    print("ready", flush=True)
    one, other = pair(int(number))
    while True:
        time.sleep(PAUSE)
        getattr(os, call)(0)
        fault(own, touch)
        for _ in range(int(chatter)):
            one.send(b"x")
            other.recv(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
