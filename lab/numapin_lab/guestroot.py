"""Makes the root file system of a node: Debian trixie with systemd, containerd and kubelet.

What differs between nodes or checkouts (names, keys, ports) is not in it: the seed disk
brings that, so that one root serves every lab of this user.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab import kernels
from numapin_lab.cache import Cache, hash_tree
from numapin_lab.kernels import Kernel
from numapin_lab.steps import Steps, run

SUITE = "trixie"
GUEST_FILES = Path(__file__).resolve().parents[1] / "guest"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "mount", "procps", "less", "python3"),
    *("initramfs-tools", "lz4", "openssh-server", "iproute2", "iptables", "conntrack"),
    *("ethtool", "socat", "containerd", "runc", "containernetworking-plugins"),
    *("numactl", "bpftool", "bpftrace"),
)
_UNITS = (
    "systemd-networkd.service",
    "containerd.service",
    "ssh.service",
    "lab-seed.service",
    "lab-network.service",
    "kubelet.service",
)
_MASKED = (
    # Work at boot that a throw-away guest under emulation does without.
    "systemd-networkd-wait-online.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-timesyncd.service",
    "getty@tty1.service",
    "systemd-logind.service",
    "systemd-binfmt.service",
    *(f"modprobe@{module}.service" for module in ("configfs", "drm", "efi_pstore", "fuse")),
)


def mirror() -> str:
    """Debian mirror: NUMAPIN_DEBIAN_MIRROR, else this host's; empty is mmdebstrap's default."""
    named = os.environ.get("NUMAPIN_DEBIAN_MIRROR")
    if named:
        return named
    argv = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]
    known = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    found = re.search(r"^Debian (\S+/debian)/?$", known, re.MULTILINE)
    return found[1] if found else ""


def debootstrap(
    out: Path, packages: list[str], *, log: Path, extra: list[str], dated: int | None = None
) -> None:
    """Unpack Debian trixie into a directory or tar file (by its name).

    Args:
        out: what to make.
        packages: besides the minimal ones.
        log: appended to.
        extra: more arguments of mmdebstrap.
        dated: seconds since 1970 that files and passwords are dated with at the latest, so that
            the same packages make the same tree; None is now.

    Raises:
        LabError: no keyring to check Debian's signatures with, or mmdebstrap failed.
    """
    if not _KEYRING.exists():
        raise LabError(
            f"{_KEYRING} is missing: apt-get install debian-archive-keyring; "
            "Debian's packages can't be checked without it"
        )
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--keyring={_KEYRING}",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            '--aptopt=Acquire::Languages "none"',
            *([f"--include={','.join(packages)}"] if packages else []),
            *extra,
            SUITE,
            out,
            *filter(None, [mirror()]),
        ],
        log=log,
        env={} if dated is None else {"SOURCE_DATE_EPOCH": str(dated)},
    )


def ensure(cache: Cache, steps: Steps, *, kernel: str, programs: Path) -> Path:
    """Directory with the node's root, made when missing (80 s).

    Args:
        cache: where to keep it.
        steps: where to show progress.
        kernel: a key of kernels.KERNELS.
        programs: directory with kubelet.

    Raises:
        LabError: no such kernel, or mmdebstrap failed.
    """
    wanted = kernels.find(kernel)
    inputs = {
        "suite": SUITE,
        "packages": " ".join([*_PACKAGES, wanted.package, *_UNITS, *_MASKED]),
        "files": hash_tree(GUEST_FILES),
        "programs": programs.name,
    }

    def build(out: Path) -> None:
        _build(out / "root", wanted, programs, cache.root / "logs/guestroot.log")

    if cache.path("guestroot", inputs).exists():
        return cache.ensure("guestroot", inputs, build) / "root"
    with steps.step(f"guest root: Debian {SUITE} with Linux {kernel} by mmdebstrap"):
        return cache.ensure("guestroot", inputs, build) / "root"


def _build(root: Path, kernel: Kernel, programs: Path, log: Path) -> None:
    hooks = [
        *kernels.setup(kernel, suite=SUITE),
        # Before the kernel is configured, so that its initramfs is made with our settings.
        f"--extract-hook=cp -a '{GUEST_FILES}/.' \"$1/\"",
        f'--customize-hook=systemctl --root="$1" --quiet enable {" ".join(_UNITS)}',
        f'--customize-hook=systemctl --root="$1" --quiet mask {" ".join(_MASKED)}',
        '--customize-hook=rm -f "$1/etc/machine-id" "$1/etc/resolv.conf" "$1/etc/hostname"',
    ]
    debootstrap(
        root, [*_PACKAGES, kernel.package], log=log, extra=[*hooks, "--dpkgopt=force-confold"]
    )
    shutil.copy2(programs / "kubelet", root / "usr/bin/kubelet")
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (root / "etc/machine-id").write_text("uninitialized\n")
