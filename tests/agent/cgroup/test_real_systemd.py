"""The systemd driver against the real PID 1 and the real kernel, where there is one.

Needs root, cgroup v2 and systemd as PID 1: a virtual machine or a node, not a container.
Everything happens in a slice of its own that ends with the test.
"""

import os
import subprocess
from pathlib import Path

import pytest

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.systemd import SystemdBus
from numapin_agent.cgroup.write import SystemdCpusets
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet, NodeSet

PATHS = HostPaths()
ROOT = "nptest-kubepods"


def lacking() -> str | None:
    """What this machine lacks for these tests."""
    if os.geteuid() != 0:
        return "not root"
    if not Path("/run/systemd/system").is_dir() or not PATHS.dbus_socket.is_socket():
        return "systemd is not PID 1 here, or there is no system bus"
    if not (PATHS.cgroup / "cgroup.controllers").is_file():
        return "no unified cgroup hierarchy (v2) here"
    return None


pytestmark = pytest.mark.skipif(lacking() is not None, reason=f"real systemd: {lacking()}")


@pytest.fixture
def pod():
    uid = f"test-{os.getpid()}"
    name = f"{ROOT}-burstable-pod{uid.replace('-', '_')}.slice"
    scope = f"cri-containerd-{os.getpid():064x}.scope"
    child = subprocess.Popen(
        ["systemd-run", "-q", "--scope", f"--slice={name}", f"--unit={scope}", "sleep", "60"]
    )
    root = PATHS.cgroup / "nptest.slice" / f"{ROOT}.slice"
    host = CgroupHost(version=2, driver="systemd", root=root, problem=None, proc=PATHS.proc)
    found = None
    while child.poll() is None and found is None:
        found = host.find_pod(uid)
    yield found
    child.kill()
    child.wait()
    subprocess.run(["systemctl", "stop", name], check=False)
    # A kubelet's slice is transient and takes its drop-ins along; this one is not.
    subprocess.run(["systemctl", "revert", name], check=False)


def test_pinned_held_and_given_back(pod):
    bus = SystemdBus(PATHS.dbus_socket)
    writer = SystemdCpusets(bus, PATHS.cgroup)
    parent = pod.parent_effective()
    cpus, mems = CpuSet([min(parent.cpus)]), NodeSet([min(parent.mems)])
    cgroup = f"/{pod.path.relative_to(PATHS.cgroup)}"
    writer.apply(pod, cpus=cpus)
    assert pod.effective() == (cpus, parent.mems)
    writer.narrow_mems(pod, mems)
    assert pod.effective() == (cpus, mems)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert bus.cpuset(pod.name, cgroup) == (cpus, mems)
    assert pod.effective() == (cpus, mems)
    writer.release(pod)
    assert pod.effective() == parent
    assert bus.cpuset(pod.name, cgroup) == (CpuSet(), NodeSet())
    bus.close()
