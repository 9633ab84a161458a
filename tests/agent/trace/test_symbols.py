"""Names for addresses, from files that may be anybody's."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.elves import program

from numapin_agent.trace.sockets import endpoint
from numapin_agent.trace.symbols import (
    LARGEST_TABLE,
    ElfError,
    Read,
    Region,
    Symbols,
    TooLargeError,
    elf,
    kernel_symbols,
    perf_map,
    regions,
)

KALLSYMS = """\
ffffffff81000000 T _text
ffffffff81000100 t estimation_timer\t[ip_vs]
ffffffff81000200 D some_data
ffffffff81000300 T vfs_read
ffffffff81000400 t vfs_read.cold
""".splitlines()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF80FFFFFF, None),
        (0xFFFFFFFF81000000, "_text"),
        (0xFFFFFFFF81000150, "estimation_timer [ip_vs]"),
        (0xFFFFFFFF81000250, "estimation_timer [ip_vs]"),
        (0xFFFFFFFF81000300, "vfs_read"),
    ],
)
def test_kernel_functions(address, name):
    assert kernel_symbols(KALLSYMS).find(address) == name


def test_hidden_addresses_give_no_names():
    hidden = [f"0000000000000000 {line.split(' ', 1)[1]}" for line in KALLSYMS]
    assert not kernel_symbols(hidden).starts


@given(st.sets(st.integers(0, 1 << 60), max_size=20), st.integers(0, 1 << 60))
def test_the_nearest_start_below_wins(starts, address):
    symbols = Symbols.of((start, 0, str(start)) for start in starts)
    below = [start for start in starts if start <= address]
    assert symbols.find(address) == (str(max(below)) if below else None)


def test_a_sized_symbol_ends():
    symbols = Symbols.of([(100, 10, "a")])
    assert (symbols.find(109), symbols.find(110)) == ("a", None)


def test_regions_are_the_executable_ones():
    maps = (
        "00400000-00401000 r--p 00000000 08:01 12 /usr/bin/a b\n"
        "00401000-00402000 r-xp 00001000 08:01 12 /usr/bin/a b\n"
        "7f0000000000-7f0000001000 rwxp 00000000 00:00 0\n"
        "7f0000002000-7f0000003000 r-xp 00002000 08:01 13 /lib/c.so (deleted)\n"
    )
    assert regions(maps) == [
        Region(0x401000, 0x402000, 0x1000, "/usr/bin/a b", 12),
        Region(0x7F0000000000, 0x7F0000001000, 0, ""),
        Region(0x7F0000002000, 0x7F0000003000, 0x2000, "/lib/c.so", 13),
    ]


def test_perf_map_of_java_and_python():
    made = perf_map(
        b"7f00 40 Ljava/lang/String;::hash Code\n7f40 20 py::f:/a b.py\nrubbish\nzz 1 x\n"
    )
    assert made.find(0x7F10) == "Ljava/lang/String;::hash Code"
    assert made.find(0x7F41) == "py::f:/a b.py"
    assert made.find(0x7F60) is None


def test_of_code_made_twice_at_a_place_the_last_counts():
    assert perf_map(b"10 8 old\n10 8 new\n").find(0x11) == "new"


@given(st.binary() | st.from_regex(rb"([0-9a-f]{1,20} [0-9a-f]{1,3} [^\0]{0,4}\n){0,5}"))
def test_any_perf_map_can_be_read(data):
    made = perf_map(data)
    for start in (1, *made.starts):
        made.find(start)


def parts(data: bytes) -> Read:
    return lambda offset, size: data[offset : offset + size]


def test_long_names_are_cut():
    made = elf(parts(program(2, b"n" * 1000)))
    assert made.find(0x10) == "n" * 256
    assert perf_map(b"10 8 " + b"n" * 1000).find(0x10) == "n" * 256


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(program(1, strings=LARGEST_TABLE + 1), id="names"),
        pytest.param(program(1 + LARGEST_TABLE // 24), id="symbols"),
        pytest.param(program(1, headers=4097), id="sections"),
    ],
)
def test_tables_that_are_too_large_are_not_read(data):
    with pytest.raises(TooLargeError):
        elf(parts(data))


def test_a_perf_map_that_is_too_large_is_not_read():
    with pytest.raises(TooLargeError):
        perf_map(bytes(LARGEST_TABLE + 1))


@given(st.binary(max_size=300))
def test_damaged_files_are_refused(rest):
    for data in (rest, b"\x7fELF\x02\x01" + rest):
        try:
            elf(parts(data))
        except ElfError:
            continue


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_functions_of_a_real_program(tmp_path: Path):
    source, program = tmp_path / "a.c", tmp_path / "a"
    source.write_text(
        "int first(void){return 1;} int second(void){return 2;} int main(){return 0;}"
    )
    subprocess.run(["gcc", "-O0", "-o", program, source], check=True)
    data = program.read_bytes()
    made = elf(parts(data))
    lines = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
    for name in ("first", "second"):
        address = next(int(x.split()[0], 16) for x in lines.splitlines() if x.endswith(f"T {name}"))
        offset = next(address - v + o for o, size, v in made.segments if v <= address < v + size)
        assert made.find(offset + 2) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0100007F:1F90", "127.0.0.1:8080"),
        ("00000000000000000000000001000000:0050", "[::1]:80"),
        ("0000000000000000FFFF00000100007F:0050", "127.0.0.1:80"),
    ],
)
def test_addresses_of_sockets(text, said):
    assert endpoint(text) == said
