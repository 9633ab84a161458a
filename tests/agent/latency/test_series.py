"""What becomes of the kernel's histograms: bounded series that only grow."""

import itertools

import pytest
from prometheus_client.core import Metric

from numapin_agent.latency.series import (
    MOST_NAMES,
    SLOW_BITS,
    Counts,
    Names,
    buckets,
    device,
    events,
    families,
    function_names,
    silent,
)
from numapin_agent.trace import histogram, records
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.records import Key


def samples(counts: dict[str, Counts], *, devices: Names, functions: Names) -> dict[str, float]:
    """Every sample by its text."""
    found: list[Metric] = list(families(counts, devices, functions))
    return {
        f"{s.name}{{{','.join(f'{k}={v}' for k, v in s.labels.items())}}}": s.value
        for family in found
        for s in family.samples
    }


def told(of: dict[Key, Histogram], devices: Names | None = None, functions: Names | None = None):
    counts = {"x": Counts(of)}
    return samples(counts, devices=devices or Names(), functions=functions or Names())


@pytest.mark.parametrize(
    ("nanoseconds", "bucket"),
    [
        (0, 0),
        (1023, 0),
        (1024, 1),
        (4095, 1),
        (4096, 2),
        ((1 << 30) - 1, 10),
        (1 << 30, 11),
        (1 << 50, 11),
    ],
)
def test_a_value_is_in_the_first_bucket_that_it_does_not_exceed(nanoseconds: int, bucket: int):
    got = buckets(histogram.of([nanoseconds]))
    assert [count for _, count in got] == [0] * bucket + [1] * (len(got) - bucket)
    bound = float(got[bucket][0])
    assert nanoseconds * 1e-9 <= bound
    assert bucket == 0 or nanoseconds * 1e-9 >= float(got[bucket - 1][0])


def test_bounds_are_a_factor_of_four_apart_and_end_open():
    bounds = [float(bound) for bound, _ in buckets(Histogram())]
    assert bounds[0] == pytest.approx(1.024e-6)
    assert bounds[-1] == float("inf")
    assert all(b == pytest.approx(4 * a) for a, b in itertools.pairwise(bounds[:-1]))


def test_cpus_and_queues_are_added_up():
    devices = Names()
    devices.give({24: device("nvme0q1"), 25: device("nvme0q2")})
    got = told(
        {
            Key(24, records.HARDIRQ, 0): histogram.of([2000]),
            Key(25, records.HARDIRQ, 1): histogram.of([3000, 5000]),
            Key(0, records.VECTOR, 0): histogram.of([100]),
            Key(3, records.SOFTIRQ, 0): histogram.of([7]),
            Key(3, records.SOFTIRQ, 1): histogram.of([9]),
        },
        devices,
    )
    assert got["numapin_node_hardirq_seconds_count{interrupt=nvme0q}"] == 3
    assert got["numapin_node_hardirq_seconds_sum{interrupt=nvme0q}"] == pytest.approx(1e-5)
    assert got["numapin_node_hardirq_seconds_count{interrupt=local timer}"] == 1
    assert got["numapin_node_softirq_seconds_count{vector=NET_RX}"] == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nvme0q37", "nvme0q"),
        ("eth0-TxRx-12", "eth0-TxRx"),
        ("virtio3-input.0", "virtio3-input"),
        ("mlx5_comp3@pci:0000:3b:00.0", "mlx5_comp"),
        ("i8042", "i8042"),
        ("12", "12"),
        ("x\x1b[31m", "x?[31m"),
    ],
)
def test_an_interrupt_is_called_by_its_device(name: str, said: str):
    assert device(name) == said


def test_names_stay_and_are_bounded():
    names = Names()
    names.give({number: f"device{number}" for number in range(MOST_NAMES + 5)})
    assert names.of(0) == "device0"
    assert {names.of(n) for n in range(MOST_NAMES, MOST_NAMES + 5)} == {"other"}
    names.give({0: "another now", 99: "device1"})
    assert names.of(0) == "device0"
    assert names.of(99) == "device1"
    assert names.missing([0, 99, 1000]) == [1000]


def test_netfilter_is_told_by_hook_and_family():
    tcp, udp = 3 | 2 << 8 | 6 << 32, 3 | 2 << 8 | 17 << 32
    got = told(
        {
            Key(tcp, records.NETFILTER, 0): histogram.of([1]),
            Key(udp, records.NETFILTER, 0): histogram.of([1]),
        }
    )
    assert got["numapin_node_netfilter_seconds_count{hook=LOCAL_OUT,family=ipv4}"] == 2


def test_slow_timers_are_named_and_only_slow_runs_count():
    functions = Names()
    functions.give({0xA0: "estimation_timer", 0xB0: "process_timeout"})
    edge = 1 << SLOW_BITS
    got = told(
        {
            Key(0xA0, records.TIMER, 0): histogram.of([1, edge - 1, edge, 3 * edge]),
            Key(0xB0, records.HRTIMER, 0): histogram.of([1, edge - 1]),
        },
        functions=functions,
    )
    slow = {k: v for k, v in got.items() if "slow_timer" in k}
    assert slow == {
        "numapin_node_slow_timer_runs_total{function=estimation_timer}": 2,
        "numapin_node_slow_timer_longest_seconds{function=estimation_timer}": pytest.approx(
            3 * edge * 1e-9
        ),
    }
    assert got["numapin_node_timer_seconds_count{timer=timer}"] == 4
    assert got["numapin_node_timer_seconds_count{timer=hrtimer}"] == 2


def test_functions_are_found_in_kallsyms_by_their_first_byte():
    lines = [
        "ffffffff81000000 T _text\n",
        "ffffffff81234560 d not_code\n",
        "ffffffff81234560 t estimation_timer\t[ip_vs]\n",
        "ffffffff81234570 t other\n",
    ]
    assert function_names(lines, [0xFFFFFFFF81234560, 0xFFFFFFFF81234571]) == {
        0xFFFFFFFF81234560: "estimation_timer [ip_vs]"
    }


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({}, {"softirqs": 5}, []),
        ({"softirqs": 5}, {"softirqs": 6}, []),
        ({"softirqs": 5, "timers": 1}, {"softirqs": 5, "timers": 2}, ["softirqs"]),
        ({"hardirqs": 0, "timers": 9}, {"hardirqs": 0, "timers": 9}, ["hardirqs", "timers"]),
        ({"netfilter": 5}, {"netfilter": 5}, []),
        ({"softirqs": 5}, {}, []),
    ],
)
def test_what_counts_nothing_any_more_is_silent(before, now, found):
    assert silent(before, now) == found


def test_events_that_were_lost_are_signs_of_life():
    assert events(Counts({Key(1, records.SOFTIRQ, 0): histogram.of([5, 9])}, lost=3)) == 5
