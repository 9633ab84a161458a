"""What a scrape says of DRAM fills: only of pods that were counted."""

from numapin_agent.counters.pmu.metrics import dram_families
from numapin_agent.counters.signals import CgroupCounters


def test_counted_pods_only():
    counted = CgroupCounters(
        migrations=3,
        dram_fills_local=90,
        dram_fills_remote=10,
        dram_running_nanoseconds=1_500_000_000,
        dram_enabled_nanoseconds=3_000_000_000,
    )
    pods = [
        ("default", "hopper", counted),
        ("default", "uncounted", CgroupCounters(migrations=3)),
        ("default", "without", None),
    ]
    samples = {
        (s.name, *s.labels.values()): s.value for f in dram_families(pods) for s in f.samples
    }
    assert samples == {
        ("numapin_pod_dram_fills_total", "default", "hopper", "local"): 90,
        ("numapin_pod_dram_fills_total", "default", "hopper", "remote"): 10,
        ("numapin_pod_dram_counter_seconds_total", "default", "hopper", "enabled"): 3.0,
        ("numapin_pod_dram_counter_seconds_total", "default", "hopper", "running"): 1.5,
    }
