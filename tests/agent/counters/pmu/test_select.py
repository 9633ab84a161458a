"""Which events are tried on which processor, from /proc/cpuinfo and sysfs as text.

``genoa-guest.cpuinfo`` was recorded on a machine; the others are written after public listings of
these processors, with the fields that count. None of the events has run on such hardware.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pmu.events import AMD, ARM, INTEL_FAMILY_6, Event, Pair
from numapin_agent.counters.pmu.machine import read_pmus, read_processor
from numapin_agent.counters.pmu.select import Pmu, Processor, Selection, processor, select
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet

DATA = Path(__file__).parent / "data"
CPU = Pmu("cpu", 4, formats=frozenset({"event", "umask", "offcore_rsp"}))
PLAIN_CPU = Pmu("cpu", 4, formats=frozenset({"event", "umask"}))
ARM_PMU = Pmu(
    "armv8_pmuv3_0",
    8,
    CpuSet.parse("0-127"),
    frozenset({"cpu_cycles", "ll_cache_miss_rd", "remote_access"}),
)
OTHERS = (Pmu("software", 1), Pmu("breakpoint", 5), Pmu("tracepoint", 2))


def named(name: str) -> Processor:
    return processor((DATA / f"{name}.cpuinfo").read_text())


def chosen(name: str, *pmus: Pmu, sockets: int = 2, one_node: bool = True) -> Selection:
    return select(named(name), (*OTHERS, *pmus), sockets=sockets, one_node_per_socket=one_node)


def codes(found: Selection) -> list[tuple[int, int, int, int]]:
    """Config and config1 of the first and the remote event of each candidate."""
    pairs = [c.pair for c in found.candidates]
    return [(p.local.config, p.local.config1, p.remote.config, p.remote.config1) for p in pairs]


L3_MISS = (0x01D3, 0, 0x02D3, 0)
SAPPHIRE = (0x012A, 0x70C004477, 0x012A, 0x730004477)
ZEN = [(0x0844, 0, 0x4044, 0), (0x0843, 0, 0x4043, 0)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("skylake-sp", [L3_MISS]),
        ("cascade-lake", [L3_MISS]),
        ("ice-lake-sp", [(0x01B7, 0x70C000477, 0x01B7, 0x730000477), L3_MISS]),
        ("sapphire-rapids", [SAPPHIRE, L3_MISS]),
        ("emerald-rapids", [SAPPHIRE, L3_MISS]),
        ("granite-rapids", [SAPPHIRE, L3_MISS]),
        ("sierra-forest", [(0x01B7, 0x184000001, 0x01B7, 0x730000001)]),
        ("clearwater-forest", [(0x01B7, 0x784000001, 0x01B7, 0x730000001)]),
        ("rome", [(0x0843, 0, 0x4043, 0)]),
        ("milan", ZEN),
        ("genoa", ZEN),
        ("turin", ZEN),
        ("neoverse-n1", [(0x37, 0, 0x31, 0)]),
        ("neoverse-v2", [(0x37, 0, 0x31, 0)]),
    ],
)
def test_events_of_each_processor(name, expected):
    pmu = ARM_PMU if name.startswith("neoverse") else CPU
    found = chosen(name, pmu)
    assert codes(found) == expected
    assert found.reason is None
    assert all(c.pmus == (pmu,) for c in found.candidates)


@pytest.mark.parametrize(
    ("name", "pmus", "reason"),
    [
        ("genoa-guest", (), "the kernel has no PMU for AMD EPYC, as in most virtual machines"),
        (
            "kvm-guest",
            (),
            "the kernel has no PMU for Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, "
            "as in most virtual machines",
        ),
        ("rome", (), "the kernel has no PMU for AMD EPYC 7742 64-Core Processor"),
        (
            "naples",
            (CPU,),
            "no events known that tell local from remote DRAM on AMD EPYC 7601 32-Core Processor "
            "(AuthenticAMD family 23 model 1)",
        ),
        (
            "broadwell",
            (CPU,),
            "no events known that tell local from remote DRAM on "
            "Intel(R) Xeon(R) CPU E5-2699 v4 @ 2.20GHz (GenuineIntel family 6 model 79)",
        ),
        (
            "sierra-forest",
            (PLAIN_CPU,),
            "OCR.DEMAND_DATA_RD.LOCAL_DRAM and .REMOTE_DRAM need the PMU's field offcore_rsp, "
            "which it lacks here",
        ),
        ("neoverse-n1", (), "the kernel has no PMU for Arm implementer 0x41 part 0xd0c"),
        (
            "neoverse-v2",
            (Pmu("armv8_pmuv3_0", 8, events=frozenset({"cpu_cycles", "ll_cache_miss_rd"})),),
            "Arm implementer 0x41 part 0xd4f: its PMU armv8_pmuv3_0 has no event remote_access",
        ),
        (
            "neoverse-v2",
            (ARM_PMU, Pmu("armv8_pmuv3_1", 9)),
            "Arm implementer 0x41 part 0xd4f: its PMU armv8_pmuv3_1 has no event "
            "ll_cache_miss_rd nor remote_access",
        ),
    ],
)
def test_where_nothing_can_be_counted_the_reason_is_said(name, pmus, reason):
    assert chosen(name, *pmus) == Selection(reason=reason)


def test_cpus_of_several_kinds_are_told_from_a_missing_pmu():
    hybrid = (Pmu("cpu_core", 4, CpuSet.parse("0-15")), Pmu("cpu_atom", 10, CpuSet.parse("16-23")))
    found = chosen("sapphire-rapids", *hybrid)
    assert found.reason == (
        "Intel(R) Xeon(R) Platinum 8480+ has CPUs of several kinds: no events known for these"
    )
    assert "no events known that tell" in str(chosen("alder-lake", *hybrid).reason)


def test_one_socket_has_nothing_remote():
    assert chosen("genoa", CPU, sockets=1).reason == "one socket: there is no remote DRAM"


@pytest.mark.parametrize(
    ("name", "pmu", "left"),
    [
        ("skylake-sp", CPU, []),
        ("sapphire-rapids", CPU, [SAPPHIRE]),
        ("sapphire-rapids", PLAIN_CPU, []),
        ("genoa", CPU, []),
        ("neoverse-v2", ARM_PMU, [(0x37, 0, 0x31, 0)]),
    ],
)
def test_with_several_numa_nodes_a_socket_only_events_that_tell_sockets_count(name, pmu, left):
    found = chosen(name, pmu, one_node=False)
    assert codes(found) == left
    assert left or "tell NUMA nodes apart, not sockets" in str(found.reason)


def test_without_the_off_core_field_retired_loads_are_left_and_say_so():
    (only,) = chosen("sapphire-rapids", PLAIN_CPU).candidates
    assert only.caveat == "retired loads only, without prefetches"


def test_a_virtual_machines_pmu_is_not_taken_at_its_word():
    for candidate in chosen("kvm-guest", CPU).candidates:
        assert str(candidate.caveat).endswith("as good as the hypervisor makes them")
    assert all(c.caveat is None for c in chosen("granite-rapids", CPU).candidates[:1])


def test_each_cpu_is_counted_by_its_own_pmu():
    """Two clusters, as on a machine with different cores."""
    one = Pmu("armv8_pmuv3_0", 8, CpuSet.parse("0-1"), ARM_PMU.events)
    other = Pmu("armv8_pmuv3_1", 9, CpuSet.parse("2-3"), ARM_PMU.events)
    (found,) = chosen("neoverse-n1", one, other).candidates
    assert [found.pmu_of(cpu) for cpu in range(5)] == [one, one, other, other, None]


def pairs() -> list[Pair]:
    return [ARM, *(p for table in (INTEL_FAMILY_6, AMD) for ps in table.values() for p in ps)]


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair.name)
def test_a_pair_tells_two_things_apart(pair):
    assert pair.local != pair.remote
    for event in (pair.local, pair.remote):
        assert 0 < event.config < 1 << 16
        assert (event.config1 == 0) == (pair.local.config1 == 0)


@given(st.text())
def test_any_cpuinfo_is_read(text):
    found = processor(text)
    selection = select(found, (CPU, ARM_PMU), sockets=2, one_node_per_socket=True)
    assert selection.reason or selection.candidates


def write(root: Path, device: str, **files: str) -> None:
    for name, text in files.items():
        file = root / "sys/bus/event_source/devices" / device / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_pmus_are_read_from_sysfs(tmp_path):
    write(
        tmp_path,
        "cpu",
        type="4\n",
        format__event="config:0-7\n",
        format__offcore_rsp="config1:0-63\n",
        events__cpu_cycles="event=0x3c\n",
        caps__pmu_name="sapphire_rapids\n",
    )
    write(
        tmp_path,
        "armv8_pmuv3_0",
        type="8\n",
        cpus="0-3,8\n",
        events__remote_access="event=0x0031\n",
    )
    write(tmp_path, "broken", type="none\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text((DATA / "milan.cpuinfo").read_text())
    paths = HostPaths(tmp_path)
    assert read_pmus(paths) == (
        Pmu("armv8_pmuv3_0", 8, CpuSet.parse("0-3,8"), frozenset({"remote_access"})),
        Pmu("cpu", 4, None, frozenset({"cpu_cycles"}), frozenset({"event", "offcore_rsp"})),
    )
    assert read_processor(paths) == Processor(
        "AuthenticAMD", 25, 1, "AMD EPYC 7763 64-Core Processor", virtual=False
    )


def test_a_processor_that_cannot_be_read_is_none_that_is_known(tmp_path):
    found = read_processor(HostPaths(tmp_path))
    assert found == Processor()
    assert select(found, (CPU,), sockets=2, one_node_per_socket=True).reason == (
        "the kernel has no PMU for this CPU"
    )


def test_an_event_without_a_register_needs_none():
    assert Event(0x02D3).config1 == 0
