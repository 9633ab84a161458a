"""What the BTF reader finds in slices of real kernels, and what it refuses.

The slices were cut by record_btf.py from Debian's 6.1.192 and 6.12.117 and from 6.18.44; the
expected numbers are what ``bpftool btf dump`` says of the same kernels.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.btf_slices import KERNELS, slice_of

from numapin_agent.bpf.btf import Btf, BtfError, Parameter
from numapin_agent.counters.plan import BTF_NAMES

BTFS = {version: Btf(slice_of(version), BTF_NAMES) for version in KERNELS}

OFFSETS = """
struct       member           6.1   6.12  6.18
task_struct  flags            44    44    44
task_struct  thread_info.cpu  20    20    20
task_struct  cpu              -     -     -
task_struct  cgroups          3600  3584  2376
css_set      dfl_cgrp         128   128   112
cgroup       kn               248   256   256
kernfs_node  id               104   96    96
mm_struct    owner            928   1152  1296
folio        flags            0     0     0
page         flags            0     0     0
pt_regs      di               112   112   112
pt_regs      si               104   104   104
task_struct  nothing.at.all   -     -     -
task_struct  flags.bit        -     -     -
hstate       nothing          -     -     -
no_struct    flags            -     -     -
"""


def rows(table: str) -> list[tuple[str, str, str, int | None]]:
    head, *lines = (line.split() for line in table.strip().splitlines())
    return [
        (version, struct, member, None if value == "-" else int(value))
        for struct, member, *values in lines
        for version, value in zip(head[2:], values, strict=True)
    ]


@pytest.mark.parametrize(("version", "struct", "member", "expected"), rows(OFFSETS))
def test_offset(version, struct, member, expected):
    assert BTFS[version].offset(struct, member) == expected


@pytest.mark.parametrize("version", KERNELS)
@pytest.mark.parametrize(
    ("name", "expected"), [("MR_SYSCALL", 3), ("MR_NUMA_MISPLACED", 5), ("MR_NONE", None)]
)
def test_enumerator(version, name, expected):
    assert BTFS[version].enumerator("migrate_reason", name) == expected


def test_enumerator_of_an_unknown_enum():
    assert BTFS["6.12"].enumerator("no_enum", "MR_SYSCALL") is None


@pytest.mark.parametrize("version", KERNELS)
def test_elements(version):
    assert BTFS[version].elements("hstate", "nr_huge_pages_node") == 1024
    assert BTFS[version].elements("hstate", "order") is None
    assert BTFS[version].elements("hstate", "nothing") is None
    assert BTFS[version].elements("no_struct", "node") is None


FOLIO, PAGE = Parameter("folio", "folio", pointer=True), Parameter("page", "page", pointer=True)
VMA, NODE = Parameter("vma", "vm_area_struct", pointer=True), Parameter("node", "int")


@pytest.mark.parametrize(
    ("version", "function", "parameters"),
    [
        ("6.1", "migrate_misplaced_page", (PAGE, VMA, NODE)),
        ("6.12", "migrate_misplaced_folio", (FOLIO, VMA, NODE)),
        ("6.18", "migrate_misplaced_folio", (FOLIO, NODE)),
        ("6.1", "migrate_misplaced_folio", None),
        ("6.12", "migrate_misplaced_page", None),
        *(
            (v, "task_numa_fault", tuple(map(Parameter, names, ["int"] * 4)))
            for v in KERNELS
            for names in [("last_cpupid", "mem_node", "pages", "flags")]
        ),
    ],
)
def test_function(version, function, parameters):
    found = BTFS[version].function(function)
    assert (found and found[1]) == parameters


@pytest.mark.parametrize(
    ("version", "tracepoint", "types"),
    [
        ("6.1", "mm_migrate_pages", [*["long unsigned int"] * 5, "migrate_mode", "int"]),
        ("6.12", "mm_migrate_pages", [*["long unsigned int"] * 6, "migrate_mode", "int"]),
        ("6.18", "mm_migrate_pages", [*["long unsigned int"] * 6, "migrate_mode", "int"]),
        ("7.3", "mm_migrate_pages", [*["long unsigned int"] * 6, "migrate_mode", "migrate_reason"]),
        *((v, "mm_migrate_pages_start", ["migrate_mode", "int"]) for v in KERNELS[:-1]),
        ("7.3", "mm_migrate_pages_start", ["migrate_mode", "migrate_reason"]),
        *((v, "sched_migrate_task", ["task_struct", "int"]) for v in KERNELS),
        *((v, "no_tracepoint", None) for v in KERNELS),
    ],
)
def test_tracepoint(version, tracepoint, types):
    found = BTFS[version].tracepoint(tracepoint)
    assert (found and [p.type for p in found]) == types


def test_names_not_asked_for_are_not_kept():
    assert Btf(slice_of("6.12"), ["css_set"]).offset("task_struct", "flags") is None


def test_a_name_that_ends_another_is_not_taken_for_it():
    assert BTFS["6.12"].offset("struct", "flags") is None
    assert Btf(slice_of("6.12"), ["struct", "group"]).offset("group", "kn") is None


@given(st.data())
def test_btf_cut_anywhere_is_refused(data):
    whole = slice_of("6.12")
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BtfError):
        Btf(whole[:length], BTF_NAMES)


@given(st.binary(max_size=64))
def test_what_is_no_btf_is_refused(data):
    with pytest.raises(BtfError):
        Btf(data, BTF_NAMES)


def test_a_type_section_that_ends_inside_a_type_is_refused():
    whole = bytearray(slice_of("6.12"))
    type_len = int.from_bytes(whole[12:16], "little")
    whole[12:16] = (type_len - 4).to_bytes(4, "little")
    with pytest.raises(BtfError, match="cut short"):
        Btf(bytes(whole), BTF_NAMES)
