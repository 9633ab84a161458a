"""What a trace reads of the machine beside its counts."""

import json
from pathlib import Path

import pytest
from support.capabilities import bound_by_modes
from support.elves import program
from support.tenants import descriptors

from numapin_agent.trace import machine as machine_module
from numapin_agent.trace.machine import ENDED, Machine
from numapin_agent.trace.procfs import Processes
from numapin_agent.trace.symbols import LARGEST_TABLE
from numapin_agent.trace.words import plain

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
    (directory / "stat").write_bytes(b"%d (" % tgid + comm.strip() + b") S" + b" 0" * 50)
    (directory / "status").write_bytes(b"Name:\t" + comm.strip() + b"\nNSpid:\t%d\t1\n" % tgid)
    (directory / "fd").mkdir()
    (directory / "fd/5").symlink_to("/data/a.rdb")
    (directory / "cgroup").write_text("1:name=systemd:/pods/ours/c\n0::/../../ours/c\n")
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


def mapped(name: str) -> bytes:
    return b"00400000-00800000 r-xp 00000000 08:01 12 /" + name.encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        pytest.param(program(9), "f", [], id="small"),
        pytest.param(program(1, strings=LARGEST_TABLE + 1), "[x]", ["/x"], id="too large"),
        pytest.param(program(1, strings=2000), "[x]", ["/x"], id="more than all may take"),
        pytest.param(b"no program", "[x]", [], id="no program"),
    ],
)
def test_a_file_that_is_too_large_has_no_names_and_is_told(tmp_path, monkeypatch, data, name, told):
    directory = process(tmp_path, 7, maps=mapped("x"))
    (directory / "root/x").write_bytes(data)
    monkeypatch.setattr(machine_module, "_SYMBOL_BYTES", 1000)
    machine = Machine(tmp_path)
    assert machine.user_name(7, 0x400008) == name
    assert machine.user_name(7, 0x400008) == name
    assert machine.too_large() == told


def test_memory_that_runs_out_costs_names_and_not_the_answer(tmp_path, monkeypatch):
    directory = process(tmp_path, 7, maps=mapped("x"))
    (directory / "root/x").write_bytes(program(9))
    (directory / "root/tmp/perf-1.map").write_bytes(b"10 8 jitted\n")
    assert Machine(tmp_path).user_name(7, 0x12) == "jitted"

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(machine_module, "elf", no_memory)
    monkeypatch.setattr(machine_module, "perf_map", no_memory)
    machine = Machine(tmp_path)
    assert machine.user_name(7, 0x400008) == "[x]"
    assert machine.user_name(7, 0x12) == "[unknown]"
    assert machine.too_large() == ["/x", "/tmp/perf-1.map"]


def test_a_file_that_its_mode_keeps_from_the_agent_is_told(tmp_path: Path):
    directory = process(tmp_path, 7, maps=mapped("x"))
    for path in ("x", "tmp/perf-1.map"):
        (directory / "root" / path).write_bytes(b"400008 8 jitted\n")
        (directory / "root" / path).chmod(0)
    machine = Machine(tmp_path)
    with bound_by_modes():
        assert machine.user_name(7, 0x400008) == "[x]"
        assert machine.user_name(7, 0x12) == "[unknown]"
    assert machine.forbidden() == ["/x", "/tmp/perf-1.map"]
    assert machine.too_large() == []


def test_the_region_of_an_address_is_found_among_many(tmp_path: Path):
    lines = (
        b"%08x-%08x r-xp 00000000 08:01 12 /lib%d\n" % (n << 16, (n << 16) + 0x1000, n)
        for n in range(1, 200)
    )
    process(tmp_path, 7, maps=b"".join(lines))
    machine = Machine(tmp_path)
    assert machine.user_name(7, 0x10000) == "[lib1]"
    assert machine.user_name(7, 0x630FFF) == "[lib99]"
    assert machine.user_name(7, 0x631000) == "[unknown]"
    assert machine.user_name(7, 0xFFFF) == "[unknown]"


def test_processes_that_map_without_end_take_no_more_than_their_share(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_module, "LARGEST", 300)
    monkeypatch.setattr(machine_module, "_REGIONS", 5)
    line = b"%08x-%08x r-xp 00000000 08:01 12 /lib%d\n"
    long = b"".join(line % (n << 16, (n << 16) + 0x1000, n) for n in range(1, 50))
    for tgid, name in ((7, b"long\n"), (8, b"second\n")):
        process(tmp_path, tgid, comm=name, maps=long)
    process(tmp_path, 9, comm=b"short\n")
    machine = Machine(tmp_path)
    assert machine.user_name(7, 0x10000) == "[lib1]"
    assert machine.user_name(7, 49 << 16) == "[unknown]"
    assert machine.user_name(8, 0x10000) == "[unknown]"
    assert machine.process(9) == "short"
    assert machine.too_large() == ["process long", "process second", "process short"]


def test_a_process_that_becomes_another_program_is_told_as_that(tmp_path: Path):
    now = [0.0]
    directory = process(tmp_path, 7, comm=b"sh\n", maps=mapped("bin/sh"))
    machine = Machine(tmp_path, clock=lambda: now[0])
    machine.meet(7)
    (directory / "comm").write_bytes(b"redis\n")
    later = b"00900000-00a00000 r-xp 00000000 08:01 13 /bin/redis\n"
    (directory / "maps").write_bytes(later)
    machine.meet(7)
    assert machine.process(7) == "sh"
    now[0] = 1.5
    machine.meet(7)
    assert machine.process(7) == "redis"
    assert machine.user_name(7, 0x900010) == "[redis]"
    assert machine.user_name(7, 0x400010) == "[sh]"
    (directory / "maps").write_bytes(later + b"00b00000-00c00000 r-xp 0 08:01 14 /lib/late.so\n")
    machine.meet(7)
    assert machine.user_name(7, 0xB00010) == "[unknown]"
    machine.meet(7, last=True)
    assert machine.user_name(7, 0xB00010) == "[late.so]"


def test_nothing_is_told_of_a_process_that_has_anothers_number(tmp_path: Path):
    directory = process(tmp_path, 7, maps=mapped("bin/redis"))
    machine = Machine(tmp_path)
    machine.meet(7)
    (directory / "comm").write_bytes(b"other\n")
    (directory / "maps").write_bytes(b"00900000-00a00000 r-xp 00000000 08:01 13 /bin/other\n")
    (directory / "stat").write_bytes(b"7 (other) S" + b" 0" * 18 + b" 99" * 32)
    machine.meet(7, last=True)
    assert machine.process(7) == "redis"
    assert machine.user_name(7, 0x400010) == "[redis]"
    assert machine.user_name(7, 0x900010) == "[unknown]"


@pytest.mark.parametrize("name", ["memfd:doublemapper (deleted)", "dev/zero (deleted)"])
def test_code_in_shared_memory_is_named_by_its_perf_map(tmp_path: Path, name: str):
    directory = process(tmp_path, 7, maps=mapped(name))
    (directory / "root/tmp/perf-1.map").write_bytes(b"400008 8 jitted\n")
    machine = Machine(tmp_path)
    assert machine.user_name(7, 0x40000C) == "jitted"
    assert (
        machine.user_name(7, 0x400010) == f"[{name.rpartition('/')[2].removesuffix(' (deleted)')}]"
    )


def test_a_process_that_was_not_met_has_no_name(tmp_path: Path):
    assert Machine(tmp_path).process(7) == ENDED


def cgroup(root: Path, *tgids: int) -> Path:
    """A pod's cgroup with one container's, and in that these processes."""
    for directory in (root / "ours", root / "ours/c"):
        directory.mkdir()
        (directory / "cgroup.procs").write_text("")
    (root / "ours/c/cgroup.procs").write_text("".join(f"{tgid}\n" for tgid in tgids))
    return root / "ours"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("0::/../../other/c\n", id="another pod's"),
        pytest.param("0::/../../ours/c2\n", id="none that has processes"),
        pytest.param("1:name=systemd:/pods/ours/c\n0::/\n", id="of cgroup v1 alone"),
        pytest.param("", id="nothing"),
    ],
)
def test_of_a_number_that_is_another_pods_by_now_nothing_is_told(tmp_path: Path, line: str):
    process(tmp_path, 7)
    process(tmp_path, 8, comm=b"secret\n")
    (tmp_path / "8/cgroup").write_text(line)
    machine = Machine(tmp_path, cgroup=cgroup(tmp_path, 7))
    assert machine.process(7) == "redis"
    assert machine.descriptor(7, 5) == "/data/a.rdb"
    assert machine.process(8) == ENDED
    assert machine.descriptor(8, 5) == "descriptor 5"
    assert machine.user_name(8, 0x400010) == "[unknown]"
    assert Machine(tmp_path).process(8) == "secret", "of the whole node all is told"


def test_a_process_that_becomes_another_pods_while_it_is_read_has_no_name(tmp_path: Path):
    directory = process(tmp_path, 7)
    processes = Processes(tmp_path, cgroup(tmp_path, 7))
    with processes.open(7) as one:
        assert one.text("comm") == "redis\n"
    with pytest.raises(ProcessLookupError), processes.open(7) as one:
        (directory / "cgroup").write_text("0::/../../other/c\n")


def test_a_directory_stays_the_process_it_was_opened_of(tmp_path: Path):
    process(tmp_path, 7)
    before = descriptors()
    with Processes(tmp_path).open(7) as one:
        (tmp_path / "7").rename(tmp_path / "ended")
        process(tmp_path, 7, comm=b"secret\n")
        assert one.text("comm") == "redis\n"
    assert descriptors() == before


def test_a_container_that_comes_later_is_found_but_not_looked_for_all_the_time(tmp_path: Path):
    now = [1.0]
    process(tmp_path, 7)
    pod = cgroup(tmp_path, 7)
    processes = Processes(tmp_path, pod, clock=lambda: now[0])
    with processes.open(7):
        pass
    process(tmp_path, 9)
    (tmp_path / "9/cgroup").write_text("0::/../../ours/late\n")
    (pod / "late").mkdir()
    (pod / "late/cgroup.procs").write_text("9\n")
    with pytest.raises(ProcessLookupError), processes.open(9):
        pass
    now[0] += 0.2
    with processes.open(9) as one:
        assert one.text("comm") == "redis\n"
