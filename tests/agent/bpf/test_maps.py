"""Reading real BPF maps through bpf(2), in batches and without."""

import os

import pytest
from support.bpf import no_bpf, u64

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.maps import PerCpuHash, per_cpu_sum
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet

pytestmark = pytest.mark.skipif(no_bpf() is not None, reason=no_bpf() or "")
MAP_PERCPU_ARRAY = 6


@pytest.fixture
def cpus():
    return len(CpuSet.parse((HostPaths().cpu_dir / "possible").read_text()))


@pytest.fixture
def per_cpu_hash(cpus):
    fd = syscalls.map_create(syscalls.MAP_PERCPU_HASH, key_size=8, value_size=16, max_entries=2000)
    yield PerCpuHash(fd, 8, 16 * cpus)
    os.close(fd)


def put(table: PerCpuHash, key: int, *values: int) -> None:
    syscalls.map_update(table.fd, u64(key), u64(*values))


def got(table: PerCpuHash) -> dict[bytes, bytes]:
    keys, values = table.entries()
    assert len(values) * 8 == len(keys) * table.value_size
    size = table.value_size
    return {
        keys[i * 8 : i * 8 + 8]: values[i * size : (i + 1) * size] for i in range(len(keys) // 8)
    }


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("entries", [0, 1, 127, 128, 129, 2000])
def test_every_entry_once(per_cpu_hash, cpus, batches, entries):
    per_cpu_hash.batches = batches
    expected = {}
    for n in range(entries):
        numbers = [n * 1000 + i for i in range(2 * cpus)]
        put(per_cpu_hash, n << 33, *numbers)
        expected[u64(n << 33)] = u64(*numbers)
    assert got(per_cpu_hash) == expected


def test_deleted_entries_are_gone(per_cpu_hash, cpus):
    for key in (1, 2, 3):
        put(per_cpu_hash, key, *[key] * 2 * cpus)
    assert per_cpu_hash.delete(u64(2)) is True
    assert per_cpu_hash.delete(u64(2)) is False
    assert set(got(per_cpu_hash)) == {u64(1), u64(3)}


def test_some_entries_by_key(per_cpu_hash, cpus):
    for key in (1, 2, 3):
        put(per_cpu_hash, key, *[key] * 2 * cpus)
    keys, values = per_cpu_hash.entries_of([u64(3), u64(9), u64(1)])
    assert keys == u64(3) + u64(1)
    assert values == u64(*[3] * 2 * cpus, *[1] * 2 * cpus)


def test_a_map_without_batches_is_read_entry_by_entry(cpus):
    """Queues have neither keys nor batches: the first try says so and is not repeated."""
    fd = syscalls.map_create(22, key_size=0, value_size=8, max_entries=4)
    table = PerCpuHash(fd, 8, 8 * cpus)
    with pytest.raises(OSError, match="bpf"):
        table.entries()
    assert table.batches is False
    os.close(fd)


def test_per_cpu_array_element_is_summed(cpus):
    fd = syscalls.map_create(MAP_PERCPU_ARRAY, key_size=4, value_size=8, max_entries=2)
    syscalls.map_update(fd, (1).to_bytes(4, "little"), u64(*range(1, cpus + 1)))
    assert per_cpu_sum(fd, 0, cpus=cpus) == 0
    assert per_cpu_sum(fd, 1, cpus=cpus) == cpus * (cpus + 1) // 2
    with pytest.raises(KeyError):
        per_cpu_sum(fd, 2, cpus=cpus)
    os.close(fd)


def test_a_closed_descriptor_is_an_error(per_cpu_hash):
    with pytest.raises(OSError, match="Bad file descriptor"):
        PerCpuHash(1 << 20, 8, 8).entries()


def test_a_refused_program_says_why_in_the_verifiers_words():
    returns_uninitialised_register = bytes.fromhex("9500000000000000")
    with pytest.raises(OSError, match="R0 !read_ok"):
        syscalls.program_load(
            returns_uninitialised_register,
            name="bad",
            program_type=syscalls.PROG_RAW_TRACEPOINT,
        )
