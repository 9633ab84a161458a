"""Checks that this machine can run the lab, and installs the Debian packages that it lacks.

Every complaint says what is missing and what to do about it.
"""

import os
import shutil
from pathlib import Path

import psutil

from numapin_api.errors import LabError
from numapin_lab.steps import Steps, run

_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tar": "tar",
}
_FILES = {
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
_ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_DISK_GIB = 12
"""Guest root, disk, images and Go's build cache, cold."""


def missing_packages() -> list[str]:
    """Debian packages that the lab needs and this machine has not."""
    path = f"{os.environ.get('PATH', '')}:{_ADMIN_PATH}"
    wanted = [pkg for program, pkg in _PROGRAMS.items() if not shutil.which(program, path=path)]
    wanted += [pkg for file, pkg in _FILES.items() if not Path(file).exists()]
    return sorted(set(wanted))


def prepare(steps: Steps, cache: Path) -> None:
    """Make sure that this machine can run the lab.

    Raises:
        LabError: not Linux on x86-64, not root, too little disk, or packages that can't be
            installed.
    """
    system = os.uname()
    if (system.sysname, system.machine) != ("Linux", "x86_64"):
        raise LabError(
            f"the lab needs Linux on x86_64, this is {system.sysname} on {system.machine}"
        )
    if os.geteuid() != 0:
        raise LabError("the lab needs root (disk images, chroot, buildah): run it with sudo")
    # Where mkfs and others live may be missing from a user's PATH that sudo kept.
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{_ADMIN_PATH}"
    _check_disk(cache)
    packages = missing_packages()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"install these Debian packages' programs first: {' '.join(packages)}")
    log = cache / "logs" / "apt.log"
    with steps.step(f"host packages: {' '.join(packages)}"):
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], log=log, env=env)
        run(["apt-get", "install", "-qy", "--no-install-recommends", *packages], log=log, env=env)


def _check_disk(cache: Path) -> None:
    existing = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1024**3
    built = any(cache.glob("disk-*"))
    need = 3 if built else _DISK_GIB
    if free < need:
        raise LabError(
            f"{existing} has {free:.1f} GiB free, the lab needs {need}: free some, or set "
            "XDG_CACHE_HOME to a larger disk"
        )


def available_mib() -> int:
    """Memory that programs could still get without swapping, in MiB."""
    return int(psutil.virtual_memory().available // 1024**2)
