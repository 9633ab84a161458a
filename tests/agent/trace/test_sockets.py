"""Addresses of sockets, from tables that may be long."""

import os
from pathlib import Path

import pytest

from numapin_agent.trace import sockets
from numapin_agent.trace.machine import Machine
from numapin_agent.trace.procfs import Process
from numapin_agent.trace.sockets import Sockets

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when   uid timeout inode\n"


def line(inode: int, port: int = 0x1F90) -> str:
    return (
        f"   0: 0100007F:{port:04X} 0200007F:0050 01 00000000:00000000 00:00000000 00000000"
        f"     0        0 {inode} 1 0000000000000000 20 4 30 10 -1\n"
    )


UNIX = "0000000000000000: 00000003 00000000 00000000 0001 03 42 /run/my sql.sock\n"


class Proc:
    """Processes of a procfs that is ordinary files, and a clock that goes on at each look."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 0.0
        self.reads = 0

    def clock(self) -> float:
        self.now += 0.05
        return self.now

    def process(self, tgid: int, namespace: str = "a", **tables: str) -> Path:
        directory = self.root / str(tgid)
        (directory / "ns").mkdir(parents=True, exist_ok=True)
        (directory / "fd").mkdir(exist_ok=True)
        (directory / "net").mkdir(exist_ok=True)
        (self.root / namespace).touch()
        (directory / "ns/net").symlink_to(self.root / namespace)
        for family, text in tables.items():
            (directory / "net" / family).write_text(HEAD + text)
        return directory

    def open(self, tgid: int) -> Process:
        return Process(os.open(self.root / str(tgid), os.O_PATH))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"tcp": line(11) + line(42)}, "tcp 127.0.0.1:8080 → 127.0.0.2:80"),
        ({"tcp": line(11), "udp": line(42)}, "udp 127.0.0.1:8080 → 127.0.0.2:80"),
        ({"tcp": line(11)}, "socket 42"),
        ({"unix": UNIX}, "unix /run/my sql.sock"),
        ({"unix": UNIX.replace(" /run/my sql.sock", "")}, "unix socket 42"),
        ({"unix": UNIX.replace("/run/my sql.sock", "@abstract")}, "unix @abstract"),
        ({}, "socket 42"),
    ],
)
def test_a_descriptor_that_is_a_socket_tells_its_ends(proc: Proc, tables, said):
    directory = proc.process(7, **tables)
    (directory / "fd/5").symlink_to("socket:[42]")
    assert Machine(proc.root).descriptor(7, 5) == said


def test_a_table_is_read_once_for_all_of_its_namespace(proc: Proc, monkeypatch):
    read: list[tuple[int, str]] = []
    lines = sockets._lines

    def counted(process: Process, family: str):
        read.append((process.fd, family))
        return lines(process, family)

    monkeypatch.setattr(sockets, "_lines", counted)
    found = Sockets(proc.clock)
    for tgid in (7, 8):
        proc.process(tgid, tcp="".join(line(i) for i in range(50)))
    proc.process(9, namespace="b", tcp=line(3, port=1))
    for inode in range(50):
        assert found.find(proc.open(7 + inode % 2), str(inode)) == (
            "tcp 127.0.0.1:8080 → 127.0.0.2:80"
        )
    assert len(read) == 5
    assert found.find(proc.open(9), "3") == "tcp 127.0.0.1:1 → 127.0.0.2:80"
    assert len(read) == 10


def test_a_new_socket_is_looked_for_but_not_all_the_time(proc: Proc):
    directory = proc.process(7, tcp=line(1))
    found = Sockets(proc.clock)
    assert found.find(proc.open(7), "1") is not None
    (directory / "net/tcp").write_text(HEAD + line(2))
    assert found.find(proc.open(7), "2") is None, "it was read a moment ago, which took long"
    proc.now += 10
    assert found.find(proc.open(7), "2") is not None


def test_long_tables_and_many_namespaces_have_an_end(proc: Proc, monkeypatch):
    monkeypatch.setattr(sockets, "_LINES", 10)
    monkeypatch.setattr(sockets, "_KEPT", 20)
    found = Sockets(proc.clock)
    for tgid in range(5):
        proc.process(tgid, namespace=f"n{tgid}", tcp="".join(line(i) for i in range(50)))
        assert found.find(proc.open(tgid), "9") is not None
        assert found.find(proc.open(tgid), "10") is None
    assert sum(len(one.found) for one in found._tables.values()) <= 20
