"""numa_maps and maps as kernels print them."""

from numapin_agent.pin.maps import Vma, parse
from numapin_api.cpulist import NodeSet

NUMA_MAPS = """\
00400000 default file=/usr/bin/redis-server mapped=120 mapmax=2 active=0 N0=120 kernelpagesize_kB=4
55d0a000 default heap anon=12 dirty=12 active=0 N0=4 N1=8 kernelpagesize_kB=4
7f0000000000 prefer:1 anon=262144 dirty=262144 active=0 N1=262144 kernelpagesize_kB=4
7f8000000000 default file=/dev/hugepages/x huge anon=3 dirty=3 N0=1 N8=2 kernelpagesize_kB=2048
7ffd00000000 default stack anon=3 dirty=3 N0=3 kernelpagesize_kB=4
7ffd10000000 default
ffff00000000 default anon=1 dirty=1 N0=1 kernelpagesize_kB=4
"""
MAPS = """\
00400000-00500000 r-xp 00000000 fe:01 12 /usr/bin/redis-server
55d0a000-55d20000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0040000000 rw-p 00000000 00:00 0
7f8000000000-7f8000600000 rw-s 00000000 00:0e 3 /dev/hugepages/x
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
7ffd10000000-7ffd10002000 r--p 00000000 00:00 0 [vvar]
"""


def test_mappings_with_their_ends_and_pages():
    assert parse(NUMA_MAPS, MAPS) == (
        Vma(0x400000, 0x500000, 4096, {0: 120}),
        Vma(0x55D0A000, 0x55D20000, 4096, {0: 4, 1: 8}),
        Vma(0x7F0000000000, 0x7F0040000000, 4096, {1: 262144}),
        Vma(0x7F8000000000, 0x7F8000600000, 2 << 20, {0: 1, 8: 2}),
        Vma(0x7FFD00000000, 0x7FFD00021000, 4096, {0: 3}),
    )


def test_far_bytes_of_a_mapping():
    vmas = parse(NUMA_MAPS, MAPS)
    assert [v.off(NodeSet.parse("1")) for v in vmas] == [491520, 16384, 0, 6 << 20, 12288]
    assert [v.off(NodeSet.parse("0-1,8")) for v in vmas] == [0] * 5


def test_nothing():
    assert parse("", "") == ()


def test_names_of_files_make_no_lines():
    """The kernel escapes a newline in them, and nothing else that ends a line for Python."""
    odd = "/srv/a\x0cb\x1cc\x85d\u2028e"
    numa_maps = f"00400000 default file={odd} N0=1 kernelpagesize_kB=4\n"
    maps = f"00400000-00401000 r--p 00000000 fe:01 12 {odd}\n"
    assert parse(numa_maps, maps) == (Vma(0x400000, 0x401000, 4096, {0: 1}),)
