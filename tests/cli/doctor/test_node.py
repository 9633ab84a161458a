"""A machine's checks: tables of facts, and facts from a made-up root."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.sysfs_tree import Style, expected, machine, write

from numapin_api.cpulist import CpuSet
from numapin_cli.doctor.kubelet import KubeletFacts, flag, kubelet_facts
from numapin_cli.doctor.node_checks import NodeFacts, examine
from numapin_cli.doctor.node_facts import gather

GOOD = NodeFacts(
    topology=expected(machine(sockets=2)),
    balancing=1,
    cgroup_driver="systemd",
    cpuset_delegated=True,
    kernel="6.12.1",
    lockdown="none",
    kubelet=KubeletFacts(cpu_manager="none", memory_manager="None", topology_manager="none"),
)


def test_a_good_node_has_no_remedy():
    found = examine(GOOD)
    assert {f.level for f in found} == {"ok"}
    assert {f.remedy for f in found} == {""}
    assert [f.check for f in found] == [
        "sockets",
        "numaBalancing",
        "cgroup",
        "cpusetController",
        "dbus",
        "kernel",
        "btf",
        "lockdown",
        "cpuManager",
        "memoryManager",
        "topologyManager",
        "otherTools",
        "psi",
    ]


STATIC = KubeletFacts(
    cpu_manager="static", memory_manager="None", topology_manager="none", exclusive_cpus=CpuSet([3])
)
SHARED = expected(machine(sockets=2), Style(node_dirs=False))


@pytest.mark.parametrize(
    ("change", "check", "level", "said", "remedy"),
    [
        (
            {"topology": None, "topology_problem": "node1/cpulist: 0-3"},
            "sockets",
            "fail",
            "node1",
            "file named",
        ),
        (
            {"topology": expected(machine(sockets=1))},
            "sockets",
            "warn",
            "one socket only",
            "nothing to gain",
        ),
        ({"topology": SHARED}, "numaNodes", "warn", "socket 0, 1 alone", "interleaving off"),
        ({"balancing": 0}, "numaBalancing", "warn", "kernel.numa_balancing is 0", "sysctl"),
        ({"balancing": 2}, "numaBalancing", "warn", "kernel.numa_balancing is 2", "sysctl"),
        ({"balancing": 3}, "numaBalancing", "ok", "is 3", ""),
        ({"balancing": None}, "numaBalancing", "warn", "CONFIG_NUMA_BALANCING", "NoSignal"),
        (
            {"cgroup_version": 1, "cgroup_problem": "/x is cgroup v1"},
            "cgroup",
            "fail",
            "cgroup v1",
            "unified",
        ),
        (
            {"cgroup_problem": "no kubepods cgroup"},
            "cgroup",
            "warn",
            "no kubepods",
            "start the kubelet",
        ),
        ({"cgroup_driver": "cgroupfs"}, "cgroup", "ok", "driver cgroupfs", ""),
        (
            {"cpuset_delegated": False},
            "cpusetController",
            "fail",
            "lack the cpuset",
            "subtree_control",
        ),
        ({"dbus": False}, "dbus", "fail", "system_bus_socket", "dbus.socket"),
        ({"kernel": ""}, "kernel", "unknown", "can't be read", "as root"),
        ({"btf": False}, "btf", "warn", "no /sys/kernel/btf/vmlinux", "pins work without"),
        (
            {"lockdown": "confidentiality"},
            "lockdown",
            "warn",
            "confidentiality",
            "lockdown=integrity",
        ),
        ({"lockdown": "integrity"}, "lockdown", "ok", "integrity", ""),
        ({"kubelet": STATIC}, "cpuManager", "warn", "static (CPUs 3 are given out)", "Conflict"),
        ({"kubelet": KubeletFacts()}, "cpuManager", "unknown", "not known", "--kubelet-dir"),
        ({"kubelet": KubeletFacts()}, "topologyManager", "unknown", "not known", "as root"),
        (
            {"kubelet": replace(STATIC, memory_manager="Static")},
            "memoryManager",
            "warn",
            "Static",
            "Guaranteed",
        ),
        ({"tools": ("numad",)}, "otherTools", "warn", "numad", "one tool"),
        ({"nri_plugins": ("10-x",)}, "otherTools", "warn", "NRI plugin 10-x", "one tool"),
        ({"processes_seen": False}, "otherTools", "unknown", "no process", "as root"),
        ({"psi": False}, "psi", "warn", "/proc/pressure", "psi=1"),
        ({"unread": ("/var/x",)}, "access", "unknown", "/var/x", "as root"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(change, check, level, said, remedy):
    found = {f.check: f for f in examine(replace(GOOD, **change))}
    assert found[check].level == level
    assert said in found[check].message
    assert remedy in found[check].remedy
    assert bool(found[check].remedy) == (level != "ok")
    others = [f for name, f in found.items() if name not in {check, "memoryManager", "cpuManager"}]
    if change.keys() != {"kubelet"}:
        assert {f.level for f in others} == {"ok"}


def test_without_the_systemd_driver_nobody_needs_the_bus():
    checks = {f.check for f in examine(replace(GOOD, cgroup_driver="cgroupfs", dbus=False))}
    assert "dbus" not in checks


@pytest.mark.parametrize(
    ("arguments", "config", "cpu_state", "wanted"),
    [
        ((), None, None, None),
        ((), "kind: KubeletConfiguration\n", None, "none"),
        ((), "cpuManagerPolicy: static\n", None, "static"),
        (("kubelet", "--cpu-manager-policy=static"), "cpuManagerPolicy: none", None, "static"),
        (("kubelet", "--cpu-manager-policy", "static"), None, None, "static"),
        ((), "cpuManagerPolicy: static\n", '{"policyName":"none"}', "none"),
        ((), None, '{"policyName":"static","entries":{"u":{"c":"2-3"}}}', "static"),
        ((), "cpuManagerPolicy: [", None, None),
        ((), "- a list\n", "{not json", None),
        ((), None, '{"policyName":"static","entries":{"u":{"c":"junk"}}}', "static"),
    ],
)
def test_the_cpu_managers_policy(arguments, config, cpu_state, wanted):
    found = kubelet_facts(arguments=arguments, config=config, cpu_state=cpu_state)
    assert found.cpu_manager == wanted


def test_exclusive_cpus_come_from_the_state_file():
    state = {"policyName": "static", "entries": {"u": {"a": "2-3", "b": "7"}}}
    assert kubelet_facts(cpu_state=json.dumps(state)).exclusive_cpus == CpuSet([2, 3, 7])


def test_the_last_flag_counts():
    assert flag(["kubelet", "--config=a", "--config", "b"], "config") == "b"
    assert flag(["kubelet", "--config"], "config") is None


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A two-socket node with a kubelet, balloons and a static CPU manager."""
    write(machine(sockets=2), tmp_path)
    for name, text in {
        "proc/sys/kernel/numa_balancing": "1\n",
        "proc/sys/kernel/osrelease": "6.12.1-test\n",
        "proc/sys/kernel/random/boot_id": "of-this-machine\n",
        "proc/pressure/memory": "",
        "proc/1/cmdline": "/sbin/init\0",
        "proc/2/cmdline": "",
        "proc/7/cmdline": "/usr/bin/kubelet\0--config=/etc/kubelet.yaml\0",
        "proc/8/cmdline": "/bin/nri-resource-policy-balloons\0",
        "etc/kubelet.yaml": "topologyManagerPolicy: best-effort\n",
        "var/lib/kubelet/cpu_manager_state": '{"policyName":"static","entries":{"u":{"c":"3"}}}',
        "var/lib/kubelet/memory_manager_state": '{"policyName":"None"}',
        "run/dbus/system_bus_socket": "",
        "sys/kernel/btf/vmlinux": "",
        "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
        "sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory\n",
        "sys/fs/cgroup/kubepods.slice/cgroup.events": "populated 1\n",
        "sys/fs/cgroup/kubepods.slice/cgroup.subtree_control": "cpu cpuset memory\n",
    }.items():
        put(tmp_path, name, text)
    return tmp_path


def test_facts_of_a_node(root):
    facts = gather(root, own=root / "nowhere")
    assert facts == NodeFacts(
        topology=expected(machine(sockets=2)),
        balancing=1,
        cgroup_driver="systemd",
        cpuset_delegated=True,
        kernel="6.12.1-test",
        lockdown="integrity",
        kubelet=KubeletFacts(
            cpu_manager="static",
            memory_manager="None",
            topology_manager="best-effort",
            exclusive_cpus=CpuSet([3]),
        ),
        tools=("nri-plugins balloons",),
    )


def test_an_empty_root_is_all_unknown_or_missing(tmp_path):
    facts = gather(tmp_path, own=tmp_path / "nowhere")
    assert facts.topology is None
    assert "has no cpuN directory" in facts.topology_problem
    assert (facts.balancing, facts.kernel, facts.btf, facts.psi) == (None, "", False, False)
    assert facts.kubelet == KubeletFacts()
    assert not facts.processes_seen
    assert {f.check: f.level for f in examine(facts)}["otherTools"] == "unknown"


@pytest.mark.parametrize(("boot_id", "btf"), [("of-this-machine\n", True), ("another\n", False)])
def test_what_is_not_mounted_is_read_from_the_own_sysfs_of_the_same_kernel(
    root, tmp_path_factory, boot_id, btf
):
    own = tmp_path_factory.mktemp("own")
    put(own, "proc/sys/kernel/random/boot_id", boot_id)
    put(own, "sys/kernel/btf/vmlinux", "")
    (root / "sys/kernel/btf/vmlinux").unlink()
    assert gather(root, own=own).btf == btf


def test_other_tools_by_socket_and_nri_plugin(root):
    put(root, "run/cri-resmgr/cri-resmgr.sock", "")
    put(root, "opt/nri/plugins/10-mine", "")
    facts = gather(root, own=root)
    assert facts.tools == ("CRI Resource Manager", "nri-plugins balloons")
    assert facts.nri_plugins == ("10-mine",)


def test_the_command_on_a_node(root, numapin):
    run = numapin("doctor", "--node", "--root", root, "-o", "json")
    said = json.loads(run.out)
    assert (run.status, run.err, said["scope"], said["level"]) == (0, "", "node", "warn")
    levels = {f["check"]: f["level"] for f in said["findings"]}
    assert levels["cpuManager"] == "warn"
    assert levels["cgroup"] == "ok"
    assert yaml.safe_load(numapin("doctor", "--node", "--root", root, "-o", "yaml").out) == said


def test_the_agents_image_needs_neither_rich_nor_kubernetes(root):
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('rich', 'kubernetes', 'lightkube')));"
        "from numapin_cli.main import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", "--node", "--root", root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok ")


def test_the_command_fails_where_a_check_fails_and_says_what_to_do(root, numapin):
    (root / "run/dbus/system_bus_socket").unlink()
    run = numapin("doctor", "--node", "--root", root)
    assert run.status == 1
    lines = run.out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("fail")]
    assert lines[at].split()[1] == "dbus"
    assert lines[at + 1].strip().startswith("to do: start dbus.socket")
    assert lines[-1].endswith("1 fail")


def test_another_place_of_the_kubelets_files(root, numapin):
    put(root, "data/kubelet/cpu_manager_state", '{"policyName":"none"}')
    arguments = ("doctor", "--node", "--root", root, "--kubelet-dir", "/data/kubelet")
    said = json.loads(numapin(*arguments, "-o", "json").out)["findings"]
    assert {f["check"]: f["level"] for f in said}["cpuManager"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--root", "/"), "--root and --kubelet-dir go with --node only"),
        (("--node", "--context", "x"), "--node asks no cluster"),
        (("--node", "--root", "/no/such"), "/no/such"),
        (("-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml'"),
    ],
)
def test_wrong_usage(numapin, arguments, said):
    run = numapin("doctor", *arguments)
    assert (run.status, run.out) == (2, "")
    assert said in run.err
