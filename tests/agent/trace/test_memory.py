"""What the kernel and the CPUs count of waiting for memory."""

import struct

import pytest

from numapin_agent.trace.memory import flat, pmu_figures, pressure, scaled

PSI = """\
some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
full avg10=0.00 avg60=0.00 avg300=0.00 total=56
"""


def test_pressure():
    assert pressure(PSI) == {"some": 1234, "full": 56}
    assert pressure("") == {}


def test_flat_files():
    assert flat("pgfault 12\nx y z\nanon abc\n") == {"pgfault": 12}


@pytest.mark.parametrize(
    ("count", "enabled", "ran", "whole"), [(10, 100, 100, 10), (10, 100, 50, 20), (0, 100, 0, 0)]
)
def test_counters_that_shared_the_hardware_are_scaled(count, enabled, ran, whole):
    assert scaled(struct.pack("=QQQ", count, enabled, ran)) == whole


def test_instructions_per_cycle_and_stalls():
    counts = {"cycles": 1000, "instructions": 500, "cycles stalled in the backend": 600}
    figures = {f.name: f.value for f in pmu_figures(counts)}
    assert figures["instructions per cycle"] == 0.5
    assert figures["cycles that wait in the backend"] == 60.0
    assert pmu_figures({}) == []
