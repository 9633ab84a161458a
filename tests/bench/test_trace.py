"""That the bench of probes counts what is left, natively and with few starts and ends."""

import os
from pathlib import Path

import pytest
from bench import trace
from bench.trace import QUESTIONS, leftovers
from support.bpf import no_bcc

from numapin_agent.bpf import syscalls
from numapin_agent.trace.question import PROBES, Question
from numapin_agent.trace.result import Result

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]
CYCLES = 3


def left(store: Path) -> dict[str, float]:
    rows = leftovers(CYCLES, store, [Question("softirqs"), Question("off-cpu")])
    return {row.what: row.value for row in rows}


def test_each_probe_has_its_question():
    assert {question.probe for question in QUESTIONS} == set(PROBES)


def test_probes_leave_nothing(tmp_path):
    found = left(tmp_path)
    goals = {what: value for what, value in found.items() if " left" in what}
    assert {what.split()[0] for what in goals} >= {"progs", "maps", "links", "descriptors"}
    assert not any("of 0 seen" in what for what in goals)
    assert set(goals.values()) == {0}


def test_what_is_left_is_counted(tmp_path, monkeypatch):
    """A map and its descriptor are kept in each start."""
    kept: list[int] = []
    really = trace.ask

    def leaky(*arguments: object) -> Result:
        fd = syscalls.map_create(syscalls.MAP_ARRAY, key_size=4, value_size=8, max_entries=1)
        kept.append(fd)
        return really(*arguments)

    monkeypatch.setattr(trace, "ask", leaky)
    try:
        found = left(tmp_path)
    finally:
        for fd in kept:
            os.close(fd)
    maps = next(value for what, value in found.items() if what.startswith("maps left"))
    assert (maps, found["descriptors left"]) == (CYCLES, CYCLES)
