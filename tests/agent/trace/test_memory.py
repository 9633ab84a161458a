"""What the kernel and the CPUs count of waiting for memory."""

import errno
import os
import struct
from pathlib import Path

import pytest

from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace import memory
from numapin_agent.trace.memory import Watch, flat, intel_server, pmu_figures, pressure, scaled
from numapin_api.errors import CgroupError

PSI = """\
some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
full avg10=0.00 avg60=0.00 avg300=0.00 total=56
"""


def test_pressure():
    assert pressure(PSI) == {"some": 1234, "full": 56}
    assert pressure("") == {}


def test_flat_files():
    assert flat("pgfault 12\nx y z\nanon abc\n") == {"pgfault": 12}


@pytest.mark.parametrize(
    ("count", "enabled", "ran", "whole"),
    [(10, 100, 100, 10), (10, 100, 50, 20), (0, 0, 0, 0), (0, 100, 0, None)],
)
def test_counters_that_shared_the_hardware_are_scaled(count, enabled, ran, whole):
    assert scaled(struct.pack("=QQQ", count, enabled, ran)) == whole


def test_a_counter_that_others_had_all_the_time_is_no_zero(tmp_path: Path, monkeypatch):
    values = iter([(0, 1, 0), (4, 1, 1), *[(0, 1, 0)] * 4])
    monkeypatch.setattr(memory.kernel, "perf_open", lambda *_, **__: os.memfd_create("counter"))
    monkeypatch.setattr(memory.os, "read", lambda *_: struct.pack("=QQQ", *next(values)))
    watch = Watch(HostPaths(tmp_path), None, [0, 1])
    watch.begin()
    figures, notes = watch.end(1.0)
    watch.close()
    assert {f.name: f.value for f in figures} == {"cycles": 4}
    said = "CPUs, whose counters others had all the time"
    assert [n for n in notes if said in n] == [
        f"cycles: not counted on 1 {said}",
        f"instructions: not counted on 2 {said}",
        f"cycles stalled in the backend: not counted on 2 {said}",
    ]


def test_a_pod_that_has_ended_meanwhile_is_said(tmp_path: Path):
    with pytest.raises(CgroupError, match="gone: ended meanwhile"):
        Watch(HostPaths(tmp_path), tmp_path / "gone", [0]).begin()


def test_instructions_per_cycle_and_stalls():
    counts = {"cycles": 1000, "instructions": 500, "cycles stalled in the backend": 600}
    figures = {f.name: f.value for f in pmu_figures(counts)}
    assert figures["instructions per cycle"] == 0.5
    assert figures["cycles that wait in the backend"] == 60.0
    assert pmu_figures({}) == []
    counts = {"cycles": 1000, "cycles stalled by loads that miss L1": 250}
    figures = {f.name: f.value for f in pmu_figures(counts)}
    assert figures["cycles that wait for loads that miss L1"] == 25.0


CPU = "processor\t: 0\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("vendor", "family", "model", "known"),
    [
        ("GenuineIntel", 6, 0x55, True),
        ("GenuineIntel", 6, 0xAD, True),
        ("GenuineIntel", 6, 0xAF, False),  # Sierra Forest: another core, other events
        ("GenuineIntel", 15, 0x55, False),
        ("AuthenticAMD", 6, 0x55, False),
    ],
)
def test_servers_of_which_stalls_by_loads_are_known(vendor, family, model, known):
    assert intel_server(CPU.format(vendor, family, model)) is known
    assert intel_server("") is False


@pytest.mark.parametrize("general", [True, False])
def test_stalls_by_loads_take_the_place_of_an_event_that_the_cpu_lacks(
    tmp_path: Path, monkeypatch, general
):
    opened = []

    def event(kind: int, config: int, **_: object) -> int:
        if (kind, config) == (0, 8) and not general:
            raise OSError(errno.ENOENT, "No such file or directory")
        opened.append((kind, config))
        return os.memfd_create("counter")

    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(CPU.format("GenuineIntel", 6, 0x8F))
    monkeypatch.setattr(memory.kernel, "perf_open", event)
    monkeypatch.setattr(memory.os, "read", lambda *_: struct.pack("=QQQ", 4, 1, 1))
    watch = Watch(HostPaths(tmp_path), None, [0])
    watch.begin()
    figures, notes = watch.end(1.0)
    watch.close()
    assert opened[2:] == ([(0, 8)] if general else [(4, 0x0C000CA3)])
    said = {figure.name for figure in figures}
    assert ("cycles that wait in the backend" in said) is general
    assert ("cycles that wait for loads that miss L1" in said) is not general
    assert not [note for note in notes if "not counted" in note]


@pytest.mark.parametrize(
    ("number", "said", "not_said"),
    [
        (errno.EACCES, "sysctl -w kernel.perf_event_paranoid=0", "PMU"),
        (errno.EPERM, "capability PERFMON", "PMU"),
        (errno.ENOENT, "not counted by this CPU's PMU: No such file", "paranoid"),
    ],
)
def test_a_missing_right_is_not_the_cpus_fault(tmp_path: Path, monkeypatch, number, said, not_said):
    def refused(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(memory.kernel, "perf_open", refused)
    watch = Watch(HostPaths(tmp_path), None, [0])
    watch.begin()
    _, notes = watch.end(1.0)
    cycles = next(note for note in notes if note.startswith("cycles:"))
    assert said in cycles
    assert not_said not in cycles
