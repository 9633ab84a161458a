"""Builds promtool and prometheus, which alert rules and dashboard are tested with.

From their Go module, pinned in lab/go-prometheus like all that the lab runs, without the service
discoveries of every cloud, which are most of the code. Not part of a lab: nobody needs Prometheus
to try numapin.
"""

from pathlib import Path

from numapin_lab import binaries
from numapin_lab.cache import Cache, hash_tree
from numapin_lab.paths import cache_root
from numapin_lab.steps import Steps

MODULE = Path(__file__).resolve().parents[1] / "go-prometheus"
_PACKAGES = tuple(
    f"github.com/prometheus/prometheus/cmd/{name}" for name in ("promtool", "prometheus")
)
_TAGS = "remove_all_sd"
"""Discovery by files and a static list stay."""


def ensure(steps: Steps | None = None, *, cache: Cache | None = None) -> Path:
    """Directory with promtool and prometheus, built when it is missing (2 min cold on 2 cores).

    Args:
        steps: where to show progress; None is silent.
        cache: where to keep it; None is the cache shared by all clones.

    Raises:
        LabError: no Go toolchain, too old a one, or a build failed.
    """
    steps, cache = steps or Steps(), cache or Cache(cache_root())
    inputs = {"module": hash_tree(MODULE), "tags": _TAGS}

    def build(out: Path) -> None:
        binaries.build(
            binaries.find_go(),
            out,
            module=MODULE,
            packages=_PACKAGES,
            flags="",
            log=cache.root / "logs" / "prometheus.log",
            tags=_TAGS,
        )

    if cache.path("prometheus", inputs).exists():
        return cache.ensure("prometheus", inputs, build)
    with steps.step("promtool and prometheus from their Go module"):
        return cache.ensure("prometheus", inputs, build)
