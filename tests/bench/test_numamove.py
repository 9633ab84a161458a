"""Whose programs cost what between two looks of bpftool."""

import math

from bench.numamove import Spent, spent


def program(number: int, *, runs: int, took: int) -> dict[str, object]:
    return {"id": number, "run_cnt": runs, "run_time_ns": took}


def test_only_ones_own_programs_that_were_there_all_the_time_count() -> None:
    before = [{"id": 1}, program(2, runs=10, took=500), program(3, runs=10, took=900)]
    after = [
        {"id": 1},
        program(2, runs=30, took=1500),
        program(3, runs=11, took=990),
        program(4, runs=5, took=5),
    ]
    assert spent(before, after, {2, 4}) == Spent(20, 1000)
    assert spent(before, after, {3}) == Spent(1, 90)


def test_a_program_that_has_not_run_has_no_figures_in_bpftools_list() -> None:
    assert spent([{"id": 2}], [program(2, runs=3, took=60)], {2}) == Spent(3, 60)


def test_nothing_each_is_no_zero() -> None:
    assert math.isnan(Spent(0, 0).each)
    assert Spent(4, 100).each == 25
