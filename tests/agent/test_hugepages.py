"""Huge pages of NUMA nodes, from names and numbers in sysfs."""

from pathlib import Path

import pytest

from numapin_agent import hugepages
from numapin_agent.hostpaths import HostPaths
from numapin_agent.hugepages import Pool, count, moved, size_of
from numapin_agent.sysfs import huge_pages


@pytest.mark.parametrize(
    ("directory", "size"),
    [
        ("hugepages-2048kB", "2Mi"),
        ("hugepages-1048576kB", "1Gi"),
        ("hugepages-16777216kB", "16Gi"),
        ("hugepages-64kB", "64Ki"),
        ("hugepages-32768kB", "32Mi"),
        ("hugepages-0kB", None),
        ("hugepages-2048", None),
        ("transparent_hugepage", None),
    ],
)
def test_sizes_are_written_as_kubernetes_does(directory: str, size: str | None) -> None:
    assert size_of(directory) == size


@pytest.mark.parametrize(
    ("text", "pages"), [("512\n", 512), ("0\n", 0), ("", 0), ("-1\n", 0), ("many\n", 0)]
)
def test_numbers_of_pages(text: str, pages: int) -> None:
    assert count(text) == pages


def put(root: Path, node: int, kib: int, pages: str, free: str) -> None:
    pool = root / f"sys/devices/system/node/node{node}/hugepages/hugepages-{kib}kB"
    pool.mkdir(parents=True)
    (pool / "nr_hugepages").write_text(pages)
    (pool / "free_hugepages").write_text(free)
    (pool / "surplus_hugepages").write_text("0\n")


def test_all_pools_of_all_numa_nodes_are_read(tmp_path: Path) -> None:
    put(tmp_path, 1, 2048, "512\n", "100\n")
    put(tmp_path, 0, 2048, "0\n", "0\n")
    put(tmp_path, 10, 1048576, "4\n", "4\n")
    found = huge_pages(HostPaths(tmp_path))
    assert found == (Pool(0, "2Mi", 0, 0), Pool(1, "2Mi", 512, 100), Pool(10, "1Gi", 4, 4))
    assert hugepages.configured(found) == {1: {"2Mi": 512}, 10: {"1Gi": 4}}
    assert hugepages.free(found) == {1: {"2Mi": 100}, 10: {"1Gi": 4}}


def test_a_kernel_without_huge_pages_has_none(tmp_path: Path) -> None:
    assert huge_pages(HostPaths(tmp_path)) == ()


@pytest.mark.parametrize(
    ("old", "free", "is_moved"),
    [
        ({0: {"1Gi": 8}}, 8, False),
        ({0: {"1Gi": 8}}, 7, True),
        ({}, 0, False),
        ({}, 1, True),
        ({0: {"1Gi": 1}}, 0, True),
        ({1: {"1Gi": 8}}, 8, True),
    ],
)
def test_one_page_of_a_small_pool_is_worth_a_write(
    old: dict[int, dict[str, int]], free: int, is_moved: bool
) -> None:
    assert moved(old, [Pool(0, "1Gi", 8, free)]) is is_moved
