"""The end-to-end tests' own measure of a pin that is lost for a moment."""

import subprocess

import pytest
from support.samples import SAMPLER, Sample, longest_gap, parse, strays
from support.wait import until

from numapin_api.cpulist import CpuSet, NodeSet


def test_half_a_line_is_no_sample():
    assert parse("1.00 0-1 0\n1.10 0-1") == (Sample(1.0, "0-1", "0"),)
    assert parse("") == ()


def test_a_stray_is_found_wherever_it_is():
    samples = parse("1 0-1 0\n2 0-3 0\n3 0-1 0-1\n4 0-1 0\n")
    assert [s.seconds for s in strays(samples, cpus="0-1", mems="0")] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "gap"), [("", 0.0), ("1 0 0\n", 0.0), ("1 0 0\n3 0 0\n4 0 0\n", 2)]
)
def test_longest_gap(text, gap):
    assert longest_gap(parse(text)) == gap


def test_the_program_says_what_this_process_may_use(tmp_path):
    script = SAMPLER.replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "go").touch()
    with subprocess.Popen(["sh", "-c", script]) as program:
        try:
            file = tmp_path / "samples"
            until(
                lambda: file.exists() and len(parse(file.read_text())) >= 3,
                what="3 samples",
                seconds=50,
            )
        finally:
            program.terminate()
    first = parse(file.read_text())[0]
    assert CpuSet.parse(first.cpus)
    assert NodeSet.parse(first.mems)
