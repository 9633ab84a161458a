"""Writing cpusets by file and by systemd; the bus is real, systemd and kernel are not."""

import pytest
from support.fake_cgroups import UID, FakeKernel
from support.fake_systemd import Bus, FakeSystemd

from numapin_agent.cgroup import CgroupHost, Cpuset, files
from numapin_agent.cgroup.systemd import SystemdBus
from numapin_agent.cgroup.write import FileCpusets, SystemdCpusets
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError, SystemdError

CPUS, MEMS = CpuSet.parse("2-3"), NodeSet.parse("1")
SLICE = f"kubepods-pod{UID.replace('-', '_')}.slice"


@pytest.fixture
def kernel(tmp_path):
    kernel = FakeKernel.make(tmp_path / "host")
    kernel.mkdir(f"kubepods.slice/{SLICE}")
    return kernel


@pytest.fixture
def pod(kernel):
    return CgroupHost.discover(kernel.paths).find_pod(UID)


@pytest.fixture
def bus(tmp_path):
    bus = Bus(tmp_path)
    yield bus
    bus.stop()


@pytest.fixture
def systemd(bus, kernel):
    systemd = FakeSystemd(bus, kernel)
    yield systemd
    systemd.close()


@pytest.fixture
def client(bus, systemd):
    client = SystemdBus(bus.socket)
    yield client
    client.close()


@pytest.fixture
def writer(client, kernel):
    return SystemdCpusets(client, kernel.paths.cgroup)


# Files.


def test_files_are_written_and_given_back(kernel, pod):
    writer = FileCpusets()
    writer.apply(pod, cpus=CPUS)
    kernel.settle()
    assert str(pod.effective()) == "cpus 2-3 mems 0-1"
    writer.narrow_mems(pod, MEMS)
    kernel.settle()
    assert str(pod.effective()) == "cpus 2-3 mems 1"
    writer.release(pod)
    kernel.settle()
    assert pod.effective() == pod.parent_effective()


def test_a_longer_value_leaves_nothing_behind(kernel, pod):
    writer = FileCpusets()
    writer.apply(pod, cpus=CpuSet.parse("0,2-3"))
    writer.apply(pod, cpus=CpuSet.parse("1"))
    assert (pod.path / "cpuset.cpus").read_text() == "1\n"


@pytest.mark.parametrize("where", ["..", "../x", "../../other", ""])
def test_nothing_outside_the_root_is_written(kernel, pod, where):
    outside = kernel.paths.cgroup / "cpuset.cpus"
    before = outside.read_text()
    path = pod.root / where / "cpuset.cpus" if where else outside
    with pytest.raises(CgroupError, match="refusing to write there"):
        files.write(pod.root, path, "1")
    assert outside.read_text() == before


@pytest.mark.parametrize("link", ["directory", "file"])
def test_symbolic_links_are_not_followed(kernel, pod, tmp_path, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "cpuset.cpus").write_text("as before")
    if link == "directory":
        (pod.root / "evil").symlink_to(outside)
        path = pod.root / "evil" / "cpuset.cpus"
    else:
        path = pod.path / "cpuset.cpus"
        path.unlink()
        path.symlink_to(outside / "cpuset.cpus")
    with pytest.raises(CgroupError, match="writing '1' to"):
        files.write(pod.root, path, "1")
    assert (outside / "cpuset.cpus").read_text() == "as before"


def test_what_the_kernel_refuses_is_told_with_file_and_value(kernel, pod):
    (pod.path / "cpuset.cpus").unlink()
    with pytest.raises(CgroupError, match=r"writing '2-3' to .*cpuset.cpus: No such file"):
        FileCpusets().apply(pod, cpus=CPUS)


# systemd.


def test_both_go_in_one_call_and_are_held(writer, systemd, client, pod):
    writer.apply(pod, cpus=CPUS, mems=MEMS)
    assert systemd.sets == [(SLICE, {"AllowedCPUs": b"\x0c", "AllowedMemoryNodes": b"\x02"})]
    assert client.cpuset(SLICE, f"/kubepods.slice/{SLICE}") == Cpuset(CPUS, MEMS)
    assert str(pod.effective()) == "cpus 2-3 mems 1"


def test_memory_is_narrowed_by_file_before_systemd_is_told(writer, systemd, kernel, pod):
    writer.apply(pod, cpus=CPUS)
    seen = []
    told = systemd._set
    systemd._set = lambda *a: (seen.append((pod.path / "cpuset.mems").read_text()), told(*a))
    writer.narrow_mems(pod, MEMS)
    assert seen == ["1\n"]
    assert systemd.sets[-1] == (SLICE, {"AllowedMemoryNodes": b"\x02"})


def test_releasing_leaves_no_property_and_the_parents_sets(writer, systemd, client, pod):
    writer.apply(pod, cpus=CPUS, mems=MEMS)
    writer.release(pod)
    assert client.cpuset(SLICE, f"/kubepods.slice/{SLICE}") == Cpuset(CpuSet(), NodeSet())
    assert pod.effective() == pod.parent_effective()


def test_large_machines(writer, client, kernel, pod):
    cpus = CpuSet.parse("128-255,384-511")
    writer.apply(pod, cpus=cpus)
    assert client.cpuset(SLICE, f"/kubepods.slice/{SLICE}").cpus == cpus


def test_a_unit_of_that_name_elsewhere_is_not_touched(client, systemd):
    with pytest.raises(SystemdError, match=r"has the cgroup '/kubepods.slice/.*', expected '/x'"):
        client.set_cpuset(SLICE, "/x", cpus=CPUS)
    assert systemd.sets == []


def test_a_unit_that_is_gone(client, systemd):
    with pytest.raises(SystemdError, match=r"NoSuchUnit: Unit gone\.slice not loaded"):
        client.set_cpuset("gone.slice", "/gone.slice", cpus=CPUS)


def test_a_refusal_is_told_in_systemds_words(writer, systemd, pod):
    systemd.refuse = "org.freedesktop.DBus.Error.AccessDenied"
    with pytest.raises(SystemdError, match="AccessDenied: no"):
        writer.apply(pod, cpus=CPUS)


def test_a_value_that_systemd_does_not_hold_is_an_error(writer, systemd, pod):
    systemd.forgetful = True
    with pytest.raises(SystemdError, match="systemd holds cpus - mems - after being told cpus 2-3"):
        writer.apply(pod, cpus=CPUS)


def test_a_bus_that_was_restarted_is_dialled_again(writer, systemd, bus, kernel, pod):
    writer.apply(pod, cpus=CPUS)
    bus.stop()
    systemd.close()
    with pytest.raises(SystemdError, match="no system bus at"):
        writer.apply(pod, cpus=CPUS)
    bus.start()
    again = FakeSystemd(bus, kernel)
    writer.apply(pod, cpus=CPUS)
    bus.stop()
    again.close()
    bus.start()
    third = FakeSystemd(bus, kernel)
    writer.apply(pod, mems=MEMS)  # on the dead connection: dialled within the call
    assert third.sets == [(SLICE, {"AllowedMemoryNodes": b"\x02"})]
    third.close()


def test_no_bus_at_all(tmp_path, kernel, pod):
    writer = SystemdCpusets(SystemdBus(tmp_path / "nowhere"), kernel.paths.cgroup)
    with pytest.raises(SystemdError, match=r"no system bus at .*nowhere"):
        writer.apply(pod, cpus=CPUS)
