"""What a trace reads of the machine beside its counts."""

import json
from pathlib import Path

import pytest

from numapin_agent.trace.answers import plain
from numapin_agent.trace.machine import ENDED, Machine

TABLE = """\
           CPU0       CPU1
  8:          0          3   IO-APIC    8-edge      rtc0
 24:         17          0   PCI-MSI 32768-edge     virtio1-input.0
LOC:      10411      20112   Local timer interrupts
"""


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        pytest.param(TABLE, {8: "rtc0", 24: "virtio1-input.0"}, id="two devices"),
        pytest.param("", {}, id="masked by a container runtime"),
        pytest.param(None, {}, id="not there"),
    ],
)
def test_devices_by_interrupt(tmp_path: Path, text: str | None, devices: dict[int, str]):
    if text is not None:
        (tmp_path / "interrupts").write_text(text)
    assert Machine(tmp_path).interrupts() == devices


MAPS = b"00400000-00401000 r-xp 00000000 08:01 12 /usr/bin/a\xd0\x0cb\n"


def process(proc: Path, tgid: int, *, comm: bytes = b"redis\n", maps: bytes = MAPS) -> Path:
    """A process of a procfs that is ordinary files."""
    directory = proc / str(tgid)
    (directory / "root/tmp").mkdir(parents=True)
    (directory / "comm").write_bytes(comm)
    (directory / "maps").write_bytes(maps)
    (directory / "status").write_bytes(b"Name:\t" + comm.strip() + b"\nNSpid:\t%d\t1\n" % tgid)
    return directory


@pytest.mark.parametrize(
    ("comm", "name"),
    [
        pytest.param("обработчик".encode()[:15] + b"\n", "обработ�", id="cut within a letter"),
        pytest.param(b"\xd0\n", "�", id="half a letter"),
        pytest.param(b"a\x1b[2J\n", "a?[2J", id="moves the cursor"),
        pytest.param(b"a\x1cNSpid:\tx y\n", "a?NSpid:?x y", id="feigns a line of status"),
    ],
)
def test_any_name_of_a_process_can_be_told(tmp_path: Path, comm: bytes, name: str):
    process(tmp_path, 7, comm=comm)
    machine = Machine(tmp_path)
    told = plain(machine.process(7))
    assert told == name
    assert json.loads(json.dumps(told).encode()) == told
    file = plain(machine.user_name(7, 0x400010))
    assert file == "[a??b]"
    assert file.encode()
    assert machine.user_name(7, 0x10) == "[unknown]"


def test_a_process_that_was_not_met_has_no_name(tmp_path: Path):
    assert Machine(tmp_path).process(7) == ENDED
