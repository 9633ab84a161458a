"""What a trace reads of the machine beside its counts."""

from pathlib import Path

import pytest

from numapin_agent.trace.machine import Machine

TABLE = """\
           CPU0       CPU1
  8:          0          3   IO-APIC    8-edge      rtc0
 24:         17          0   PCI-MSI 32768-edge     virtio1-input.0
LOC:      10411      20112   Local timer interrupts
"""


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        pytest.param(TABLE, {8: "rtc0", 24: "virtio1-input.0"}, id="two devices"),
        pytest.param("", {}, id="masked by a container runtime"),
        pytest.param(None, {}, id="not there"),
    ],
)
def test_devices_by_interrupt(tmp_path: Path, text: str | None, devices: dict[int, str]):
    if text is not None:
        (tmp_path / "interrupts").write_text(text)
    assert Machine(tmp_path).interrupts() == devices
