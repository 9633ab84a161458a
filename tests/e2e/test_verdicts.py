"""Each verdict provoked, and what the NumaPin says about it, beside what the kernel says.

Invalid is provoked in test_annotations, Pending and the agent's death in test_survives.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from support.verdicts import VERDICT_SECONDS, await_verdict, made, said
from support.workloads import ALONE, HOPS, LOAD, TOUCH
from support.world import NAMESPACE, SLEEP, World, container, pod, resources

from numapin_api.cpulist import CpuSet
from numapin_api.names import API_VERSION
from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900, func_only=True)]

NODE, OTHER_NODE = "numa-0", "numa-1"
HOME, AWAY = "1", "0"
"""Pods here ask for socket 1, and what is to be wrong is on socket 0."""
CACHE_MIB = 160
STREAM = "dd if=/dev/zero of=/dev/null bs=32M"
"""One thread, which sysbench never has: its main thread waits for the others."""
YOUNG = LOAD.format(threads=2, seconds=30, more="--memory-block-size=32M --memory-scope=global run")
WORKERS = f"while :; do {YOUNG} >/dev/null & sleep 15 & wait $!; done"
"""Two at any time, and always a young one: the kernel looks at their pages most often, but not
before a task has run for a second (sched_numa_balancing scan_delay_ms), which takes them ten."""
WRITES = f"""
numactl --cpunodebind={AWAY} --membind={AWAY} \
  dd if=/dev/zero of=/cache/file bs=1M count={CACHE_MIB} status=none
touch /tmp/written
exec {ALONE}
"""
ESCAPES = f"""
{TOUCH} >/dev/null &
load=$!
trap 'kill $load; exit 0' TERM
while kill -0 $load; do
  for cpus in $(cat /sys/devices/system/node/node{AWAY}/cpulist); do
    taskset -a -p -c $cpus $load >>/tmp/said 2>&1; sleep 2 & wait $!
  done
done
"""
"""Asks for the other socket's CPUs for ever, which the kernel refuses."""


def some(cpu_limit: str = "200m", memory: str = "32Mi") -> dict[str, Any]:
    """A little of the emulated CPUs, so that a dozen of these run beside each other."""
    return resources("50m", memory, limits=False) | {"limits": {"cpu": cpu_limit}}


def asking(name: str, script: str, *, cpu: str = "200m", pinned: bool = True, **asked: str) -> Any:
    """A pod that asks for socket 1, and for more by annotation."""
    annotations = {f"numapin.io/{key}": value for key, value in {"socket": HOME, **asked}.items()}
    return pod(
        name,
        container(script=script, resources=some(cpu)),
        pinned=pinned,
        annotations=annotations,
    )


def with_cache(name: str, medium: Mapping[str, Any]) -> Any:
    """A pod, not labelled yet, that keeps files on the other socket."""
    manifest = asking(name, WRITES, pinned=False)
    manifest["spec"]["volumes"] = [{"name": "cache", "emptyDir": dict(medium)}]
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "cache", "mountPath": "/cache"}]
    return manifest


def policy(name: str, **spec: Any) -> dict[str, Any]:
    """A policy for one pod."""
    return {
        "apiVersion": API_VERSION,
        "kind": "NumaPolicy",
        "metadata": {"name": f"e2e-{name}"},
        "spec": {
            "priority": 5000,
            "podSelector": {"matchLabels": {"e2e": name}},
            "verification": {"window": "20s"},
            **spec,
        },
    }


PODS = [
    asking("v-measured", WORKERS, cpu="400m"),
    asking("v-alone", f"exec {STREAM}"),
    asking("v-idle", SLEEP),
    asking("v-remote", f"exec numactl --membind={AWAY} {TOUCH}", memory="None"),
    asking("v-unpin", f"exec numactl --membind={AWAY} {TOUCH}", memory="None"),
    asking("v-escapes", ESCAPES),
    asking("v-hops", HOPS, cpu="400m", mode="Observe"),
    with_cache("v-tmpfs", {"medium": "Memory"}),
    with_cache("v-cache", {}),
    asking("v-drift", f"exec {ALONE}"),
    asking("v-clash", f"exec {ALONE}"),
]
UNPIN = policy("v-unpin", verification={"window": "20s", "onFailure": "Unpin"})


@pytest.fixture(scope="module")
def lab(world: World) -> Iterator[World]:
    """The world with this module's pods in it: started together, for that takes longest."""
    names = [p["metadata"]["name"] for p in PODS]
    world.cluster.delete(NAMESPACE, names, seconds=420)
    world.apply(UNPIN)
    for manifest in PODS:
        world.cluster.create(manifest)
    for name in names:
        world.cluster.await_ready(NAMESPACE, name, seconds=420)
    yield world
    world.cluster.delete(NAMESPACE, names, seconds=420)
    world.kubectl("delete", "numapolicy", UNPIN["metadata"]["name"], "--ignore-not-found")


def bytes_on(world: World, name: str, node: int, key: str) -> int:
    """What the kernel says of a pod's memory, by memory.numa_stat."""
    text = world.ssh(world.node_of(name), f"grep '^{key} ' {world.cgroup(name)}/memory.numa_stat")
    found = re.search(rf"\bN{node}=(\d+)", text)
    return int(found[1]) if found else 0


# Verified


def passes_over(world: World) -> bool:
    """Whether the kernel samples no pod that is bound to one NUMA node, as from 6.16 on."""
    signals = world.numa_node(NODE).status.capabilities.signals
    return any(one.name == "scannerSkips" and one.level != "none" for one in signals)


def test_verified_by_measurement(lab: World):
    """Where the kernel samples the pod; else that it does not is said: placement is the proof."""
    evidence = "ByPlacement" if passes_over(lab) else "Measured"
    await_verdict(lab, "v-measured", "Verified")
    eventually(
        lambda: lab.pin("v-measured").status.evidence == evidence,
        seconds=VERDICT_SECONDS,
        what="the kernel has sampled enough pages",
    )
    pin = lab.pin("v-measured")
    assert pin.status.observed.threads > 1
    if passes_over(lab):
        assert "does not sample pods that are bound to one NUMA node" in said(pin)
        return
    assert "sampled pages were local to the CPU that touched them" in said(pin)
    counters = pin.status.observed.counters
    assert counters.hint_fault_pages_local + counters.hint_fault_pages_remote >= 500


def test_verified_by_placement(lab: World):
    """The container's runtime has threads, and begins in the pod's cgroup; its window passes.

    So has the sandbox's pause, which is of no account.
    """
    await_verdict(lab, "v-alone", "Verified")
    eventually(
        lambda: lab.pin("v-alone").status.evidence == "ByPlacement",
        seconds=VERDICT_SECONDS,
        what="only windows of the pod's own single thread count",
    )
    pin = lab.pin("v-alone")
    assert said(pin).startswith("by placement: ")
    assert "one thread" in said(pin) or "does not sample" in said(pin)
    assert pin.status.observed.threads == 1
    assert bytes_on(lab, "v-alone", int(HOME), "anon") > 9 * bytes_on(
        lab, "v-alone", int(AWAY), "anon"
    )


def test_a_pod_that_sets_an_affinity_outside_is_refused_it_and_stays_verified(lab: World):
    pin = await_verdict(lab, "v-escapes", "Verified")
    tried = lab.exec("v-escapes", "cat", "/tmp/said")
    assert "Invalid argument" in tried
    assert lab.inside("v-escapes") == lab.socket_of(pin)


# Ineffective


def test_ineffective_by_memory_on_the_other_socket_although_nothing_migrates(lab: World):
    """The case that "no migrations" alone would pass; by a memory policy of the pod's own."""
    pin = await_verdict(lab, "v-remote", "Ineffective")
    assert re.search(rf"% of the memory \(.*\) is on NUMA nodes {HOME}", said(pin))
    assert pin.status.local_percent < 50
    assert pin.status.cross_socket_pages_per_second <= 10
    assert lab.inside("v-remote").cpus == lab.socket_of(pin).cpus
    assert bytes_on(lab, "v-remote", int(AWAY), "anon") > 32 << 20


def test_onfailure_unpin_gives_everything_back(lab: World):
    pin = eventually(
        lambda: (pin := lab.pin("v-unpin")) and pin.spec.socket is None and pin,
        seconds=VERDICT_SECONDS,
        what="v-unpin is released",
    )
    lab.await_phase("v-unpin", "Unpinned")
    assert lab.inside("v-unpin").cpus == lab.effective_of(NODE, "/sys/fs/cgroup").cpus
    pin = await_verdict(lab, "v-unpin", "Ineffective")
    assert said(pin, "Pinned").startswith("released by onFailure Unpin: ")
    assert f"is on NUMA nodes {HOME}" in said(pin, "Pinned")


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [("v-tmpfs", "shmem", "tmpfs or shared memory"), ("v-cache", "file", "page cache")],
)
def test_ineffective_by_what_no_pin_moves(lab: World, name: str, key: str, words: str):
    eventually(
        lambda: "written" in lab.exec(name, "ls", "/tmp"),
        seconds=240,
        what=f"{name} has written its file",
    )
    assert bytes_on(lab, name, int(AWAY), key) > CACHE_MIB << 19
    lab.cluster.label(NAMESPACE, name, on=True)
    pin = await_verdict(lab, name, "Ineffective")
    assert bytes_on(lab, name, int(AWAY), key) > CACHE_MIB << 19
    assert re.search(rf"of the rest .*MiB is {words}, which stays where", said(pin))
    # The pod's own memory is where it should be: the rest is what is left behind.
    home = next(m for m in pin.status.observed.memory if m.node == int(AWAY))
    assert (home.shared if key == "shmem" else home.page_cache) > CACHE_MIB << 19
    assert lab.inside(name) == lab.socket_of(pin)


# Drifted, NoSignal, Conflict, Unplaceable


def test_drifted(lab: World):
    pin = await_verdict(lab, "v-drift", "Verified")
    cgroup = lab.cgroup("v-drift")
    lab.ssh(NODE, f"cat /sys/fs/cgroup/cpuset.cpus.effective > {cgroup}/cpuset.cpus")
    whole = lab.effective_of(NODE, "/sys/fs/cgroup")
    pin = await_verdict(lab, "v-drift", "Drifted")
    assert f"somebody else set CPUs {whole.cpus} and memory nodes {HOME}" in said(pin)
    assert pin.status.observed.drift.count >= 1
    pin = await_verdict(lab, "v-drift", "Verified")
    assert lab.effective("v-drift") == lab.socket_of(pin)


def test_nosignal_of_an_idle_pod(lab: World):
    pin = await_verdict(lab, "v-idle", "NoSignal")
    assert re.fullmatch(r"idle: the pod used 0\.0% of a CPU over \d+ s", said(pin))
    assert lab.inside("v-idle") == lab.socket_of(pin)


def test_nosignal_without_numa_balancing(lab: World):
    """On the other node, whose pods nobody else looks at."""
    switch = "/proc/sys/kernel/numa_balancing"
    load = pod("v-blind", container(script=f"exec {ALONE}", resources=some()), node=OTHER_NODE)
    with made(lab, load) as name:
        lab.cluster.await_ready(NAMESPACE, name, seconds=420)
        await_verdict(lab, name, "Verified")
        lab.ssh(OTHER_NODE, f"echo 0 > {switch}")
        try:
            pin = await_verdict(lab, name, "NoSignal")
            assert said(pin).startswith("kernel.numa_balancing is off")
        finally:
            lab.ssh(OTHER_NODE, f"echo 1 > {switch}")
        await_verdict(lab, name, "Verified")


def test_conflict_with_a_container_cpuset_of_its_own(lab: World):
    pin = await_verdict(lab, "v-clash", "Verified")
    found = lab.cluster.pod(NAMESPACE, "v-clash")
    scope = found.status.container_statuses[0].container_id.replace("://", "-")
    alien = min(CpuSet(lab.effective_of(NODE, "/sys/fs/cgroup").cpus - lab.socket_of(pin).cpus))
    # By systemd, as a runtime or a plugin would: it switches the controller on where it is off.
    unit = f"cri-{scope}.scope"
    lab.ssh(NODE, f"systemctl set-property --runtime {unit} AllowedCPUs={alien}")
    pin = await_verdict(lab, "v-clash", "Conflict")
    assert f"container main has cpuset.cpus {alien} of its own" in said(pin)
    assert "nothing in common" in said(pin)
    # Nobody fights: the container keeps what it was given.
    own = lab.ssh(NODE, f"cat {lab.cgroup('v-clash')}/{unit}/cpuset.cpus").strip()
    assert own == str(alien)


def test_unplaceable(lab: World):
    topology = lab.numa_node(NODE).status.topology.value()
    most = max(len(socket.cpus) for socket in topology.sockets)
    wanted = resources(f"{most * 1000 + 100}m", "32Mi", limits=False)
    with made(lab, pod("v-large", container(resources=wanted))) as name:
        lab.cluster.await_ready(NAMESPACE, name, seconds=420)
        pin = await_verdict(lab, name, "Unplaceable")
        assert pin.spec.socket is None
        condition = next(c for c in pin.status.conditions if c.type == "Pinned")
        assert (condition.status, condition.reason) == ("False", "NoRoom")
        assert "socket 0" in condition.message
        assert "socket 1" in condition.message
        assert lab.inside(name) == lab.effective_of(NODE, "/sys/fs/cgroup")


# Modes


def test_observe_says_what_it_would_do_and_what_it_could_gain(lab: World):
    pin = await_verdict(lab, "v-hops", "Observing")
    eventually(
        lambda: "the most that it can gain is an end of" in said(lab.pin("v-hops")),
        seconds=VERDICT_SECONDS,
        what="a window with something to gain",
    )
    pin = lab.pin("v-hops")
    socket = lab.socket_of(pin)
    would = f"it would be pinned to socket {HOME}: CPUs {socket.cpus}, memory nodes {socket.mems}"
    assert would in said(pin)
    assert "thread moves/s between sockets" in said(pin)
    whole = lab.effective_of(NODE, "/sys/fs/cgroup")
    assert lab.effective("v-hops") == whole


def test_cpus_only_where_no_socket_has_the_memory(lab: World):
    topology = lab.numa_node(NODE).status.topology.value()
    most = max(
        sum(n.memory_bytes for n in topology.nodes if n.socket == s.id) for s in topology.sockets
    )
    rule = policy("v-cpuonly", placement={"onUnplaceable": "CpuOnly"})
    lab.apply(rule)
    wanted = resources("50m", f"{most * 21 // 20 >> 20}Mi", limits=False)
    try:
        with made(lab, pod("v-cpuonly", container(resources=wanted))) as name:
            pin = lab.await_phase(name, "Pinned", seconds=420)
            assert (pin.spec.mems, pin.spec.memory) == (None, "Strict")
            eventually(
                lambda: "CPUs only" in said(lab.pin(name), "Pinned"),
                seconds=60,
                what="the operator has read what the agent said",
            )
            whole = lab.effective_of(NODE, "/sys/fs/cgroup")
            found = lab.effective(name)
            assert (found.cpus, found.mems) == (lab.socket_of(pin).cpus, whole.mems)
    finally:
        lab.kubectl("delete", "numapolicy", rule["metadata"]["name"], "--ignore-not-found")
