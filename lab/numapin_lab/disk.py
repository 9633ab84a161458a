"""Makes the root disk of the nodes: guest root and images, imported natively on this machine.

An image import takes ten times longer inside an emulated guest, so containerd runs once in a
chroot of the root before the disk is made. Nodes share the disk read-only, each behind an
overlay of its own.
"""

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from numapin_lab.cache import Cache
from numapin_lab.images import Image
from numapin_lab.steps import Steps, run

_DISK_GIB = 20
"""Sparse: what is not written takes no room."""

# In a mount namespace of its own, so that nothing stays mounted whatever happens, and in a pid
# namespace, so that containerd ends with the script.
_IMPORT = """
set -eu
root=$1; shift
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
chroot "$root" containerd --log-level warn &
server=$!
ctr="chroot $root ctr --timeout 0"
tries=0
until $ctr version >/dev/null 2>&1; do
  tries=$((tries + 1)); [ $tries -lt 150 ] || { echo "containerd does not answer"; exit 1; }
  sleep 0.2
done
for archive in "$@"; do
  tar -C "$archive" -cf - . | $ctr -n k8s.io images import --local --snapshotter overlayfs -
done
kill $server
wait $server || true
"""


def ensure(cache: Cache, steps: Steps, *, root: Path, images: Sequence[Image]) -> Path:
    """Raw disk image with a root and images, made when missing (30 s).

    Args:
        cache: where to keep it.
        steps: where to show progress.
        root: guest root, not changed.
        images: what containerd shall hold at boot.

    Raises:
        LabError: a command failed; names the log.
    """
    inputs = {
        "root": root.parent.name,
        "images": " ".join(sorted(f"{i.reference}@{i.digest}" for i in images)),
        "recipe": _IMPORT,
        "gib": str(_DISK_GIB),
    }
    log = cache.root / "logs" / "disk.log"

    def build(out: Path) -> None:
        work = out / "root"
        run(["cp", "-a", "--reflink=auto", root, work], log=log)
        _import(work, images, log)
        disk = out / "disk.raw"
        with disk.open("wb") as file:
            os.truncate(file.fileno(), _DISK_GIB * 1024**3)
        # No journal: nobody fscks a throw-away disk, and the guest writes less.
        features = ["-O", "^has_journal", "-E", "lazy_itable_init=1", "-m", "0"]
        run(["mkfs.ext4", "-q", *features, "-d", work, disk], log=log)
        run(["rm", "-rf", "--one-file-system", work], log=log)

    if cache.path("disk", inputs).exists():
        return cache.ensure("disk", inputs, build) / "disk.raw"
    with steps.step("disk: guest root with images imported"):
        return cache.ensure("disk", inputs, build) / "disk.raw"


def _import(root: Path, images: Sequence[Image], log: Path) -> None:
    run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", _IMPORT, "import", root),
            *(image.layout for image in images),
        ],
        log=log,
    )


def make_seed(path: Path, files: dict[str, tuple[str, int]]) -> None:
    """Write a node's seed: a tar archive that the guest unpacks over its root.

    Args:
        path: where; padded to a whole number of disk sectors by the tar format itself.
        files: absolute path in the guest to (text, mode).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, (text, mode) in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    path.chmod(0o600)
