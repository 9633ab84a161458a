"""Debian's own tracing tools on a node of the lab: bcc's by the agent's image, and bpftrace.

bcc's tools want the kernel's headers and a compiler, which no node has. The headers and the tools
are fetched here for the kernel that the node runs, and the tools run on top of the root of the
agent's container, which has bcc and Python of the same Debian; they are in none of its
namespaces, and have no limit of its. The tools are unchanged.
"""

import io
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.buckets import Buckets, of_bpftrace
from support.world import World

from numapin_lab import guestroot, kernels, nodes
from numapin_lab.demo.cluster import AGENT_SELECTOR

RUN = "/run/numapin-beside"
"""Where a tool writes and is told what to do."""
_TOOLS = "/var/tmp/numapin-tools"
_BCC = ("softirqs", "hardirqs", "funclatency", "runqlat")
_HEADERS = re.compile(r"usr/src/linux-headers-[^/]+/(include|arch/x86/include)/")
_TOLD = """
import os, runpy, sys, time
sleep, times = time.sleep, 0
def until_told(_):
    global times
    times += 1
    while not os.path.exists(f"{here}/{times}"):
        sleep(0.02)
    print("==", times, flush=True)
here, *sys.argv = sys.argv[1:]
time.sleep = until_told
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a tool of bcc that prints what it has counted whenever it has slept: until it is told."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a tool has counted of one thing.

    Attributes:
        count: of events.
        buckets: of their times; empty when they were not timed.
    """

    count: int = 0
    buckets: Buckets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bcc:
    """A tool of bcc, which is to print twice: what was before, and what was since.

    Attributes:
        arguments: its name, and what follows it.
        unit: nanoseconds of what it counts in.
    """

    arguments: tuple[str, ...]
    unit: int = 1
    tell = (f"touch {RUN}/1", f"touch {RUN}/2")
    attached = "Tracing"

    def command(self, world: World, node: str) -> str:
        """A shell command that runs it."""
        install(world, node)
        tool, *arguments = self.arguments
        inner = ["python3", "-u", f"{_TOOLS}/told.py", RUN, f"{_TOOLS}/{tool}-bpfcc", *arguments]
        return f"""unshare --mount sh -ec '
mount -t overlay -o lowerdir={_TOOLS}/over:{_root(world, node)} none /mnt
for one in proc sys dev run var/tmp; do mount --rbind /$one /mnt/$one; done
exec chroot /mnt {" ".join(inner)}'"""

    def read(self, said: str) -> dict[str, Counted]:
        """By section, "" where there is but one."""
        _, _, since = said.partition("== 2\n")
        sections: dict[str, dict[tuple[int, int], int]] = {}
        section = ""
        for line in since.splitlines():
            if named := re.match(r"(?:softirq|hardirq) = (.*)$", line):
                section = named[1]
            elif bucket := re.match(r"\s*(\d+)\s*->\s*(\d+)\s*:\s*(\d+)", line):
                low, high, count = map(int, bucket.groups())
                span = (low * self.unit, (high + 1) * self.unit - 1)
                sections.setdefault(section, {})[span] = count
        return {name: Counted(sum(found.values()), found) for name, found in sections.items()}


_NOBODY = 1 << 22
"""No process has this number: PID_MAX_LIMIT, include/linux/threads.h."""


@dataclass(frozen=True, slots=True)
class Bpftrace:
    """A script of bpftrace that keeps ``@count`` and, where it times, ``@took``, both with keys.

    Attributes:
        script: it.
    """

    script: str
    tell = (f"kill -s 0 {_NOBODY} 2>/dev/null || true", "pkill -INT bpftrace")
    attached = "attached_probes"

    def command(self, world: World, node: str) -> str:
        """A shell command that runs it."""
        del world, node
        kept = [name for name in ("@count", "@took") if name in self.script]
        # It prints at its end only, so that what was before is forgotten when it is told.
        forget = " ".join(f"clear({name});" for name in kept)
        told = f"tracepoint:syscalls:sys_enter_kill /args->pid == {_NOBODY}/ {{ {forget} }}"
        begun = "BPFTRACE_MAX_MAP_KEYS=65536 bpftrace -B line -f json"
        return f"{begun} -e {shlex.quote(self.script + told)}"

    def read(self, said: str) -> dict[str, Counted]:
        """By key."""
        found: dict[str, dict[str, Any]] = {"@count": {}, "@took": {}}
        for line in said.splitlines():
            told = json.loads(line) if line.startswith("{") else {}
            if told.get("type") in {"map", "hist"}:
                found |= told["data"]
        took = {key: of_bpftrace(printed) for key, printed in found["@took"].items()}
        return {key: Counted(n, took.get(key, {})) for key, n in found["@count"].items()}


Tool = Bcc | Bpftrace


def _root(world: World, node: str) -> str:
    """Root file system of the agent's container."""
    said = world.kubectl(
        *("get", "pods", "-A", "-l", AGENT_SELECTOR, "-o", "json"),
        *("--field-selector", f"spec.nodeName={node}"),
    )
    (agent,) = json.loads(said)["items"]
    container = agent["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    return f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{container}/rootfs"


def install(world: World, node: str) -> None:
    """Bring the tools of bcc and the headers of the node's kernel there, once."""
    release = world.ssh(node, "uname -r").strip()
    if world.ssh(node, f"cat {_TOOLS}/over/release 2>/dev/null || true").strip() == release:
        return
    state = world.lab.state()
    assert state is not None
    fetched = _fetch(world.lab.paths.root / "bcc-tools", release, state.kernel)
    argv = nodes.ssh(world.lab.node(node), world.lab.paths, [f"tar -xzf - -C {_TOOLS}"])
    world.ssh(node, f"rm -rf {_TOOLS}; mkdir -p {_TOOLS}")
    subprocess.run(argv, input=_packed(fetched, release), check=True, timeout=300)


def _fetch(out: Path, release: str, kernel: str) -> Path:
    """Unpack Debian's packages: the tools of the nodes' suite, the headers of the kernel's."""
    common = release.replace("-cloud-amd64", "-common")
    packages = f"bpfcc-tools linux-headers-{release} linux-headers-{common}"
    hook = (
        'cd "$1" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download '
        f"{packages} && for one in *.deb; do dpkg-deb -x $one .; done"
    )
    shutil.rmtree(out, ignore_errors=True)
    guestroot.debootstrap(
        out,
        [],
        log=out.with_suffix(".log"),
        extra=[
            "--variant=custom",
            *kernels.setup(kernels.find(kernel), suite=guestroot.SUITE),
            f"--customize-hook={hook}",
        ],
    )
    return out


def _packed(fetched: Path, release: str) -> bytes:
    """What goes to the node: tools, and ``over``, which lies over the agent's root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for tool in _BCC:
            tar.add(fetched / "usr/sbin" / f"{tool}-bpfcc", f"{tool}-bpfcc")
        for path in sorted((fetched / "usr/src").rglob("*")):
            name = str(path.relative_to(fetched))
            if not path.is_dir() and _HEADERS.match(name):
                tar.add(path, f"over/{name}")
        # Packages of trixie have below /usr what those of bookworm have below the root.
        for link in sorted(fetched.glob(f"**/lib/modules/{release}/*")):
            tar.add(link, f"over/usr/lib/modules/{release}/{link.name}")
        for name, text in (("told.py", _TOLD), ("over/release", release)):
            of = tarfile.TarInfo(name)
            of.size = len(text)
            tar.addfile(of, io.BytesIO(text.encode()))
    return buffer.getvalue()
