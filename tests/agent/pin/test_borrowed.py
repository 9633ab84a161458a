"""Which files a pod maps and others are charged for: from text and statuses to what is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.pin.borrowed import (
    Estimate,
    File,
    Mapped,
    choose,
    count,
    distinct,
    gate,
    merged,
    parse,
    shown,
    sizes,
    tell,
)
from numapin_api.cpulist import NodeSet

PAGE = 4096
MIB = 1 << 20
HOME = NodeSet.parse("0")
MODEL = File("fe:01", 12, "/data/model.bin")
LIBRARY = File("00:2a", 77, "/usr/lib/libtorch.so")

MAPS = """\
00400000-00500000 r-xp 00000000 fe:01 11                                 /usr/bin/redis-server
00500000-00501000 rw-p 00100000 fe:01 11                                 /usr/bin/redis-server
55d0a000-55d20000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000100000 r--s 00200000 fe:01 12                         /data/a model.bin
7f0000100000-7f0000200000 rw-s 00000000 00:01 5                          /dev/shm/x (deleted)
7f0000200000-7f0000300000 rw-s 00000000 00:01 6                          /memfd:cache (deleted)
7f0000300000-7f0000400000 rw-s 00000000 00:05 7                          /dev/nvidia0
7f0000400000-7f0000500000 rw-s 00000000 00:0f 8                          anon_inode:[io_uring]
7f0000500000-7f0000600000 rw-s 00000000 00:0e 9                          /anon_hugepage (deleted)
7f0000600000-7f0000700000 rw-p 00000000 fe:01 10                         /data/copied
7f0000700000-7f0000800000 ---p 00000000 fe:01 13                         /usr/lib/gap.so
7f0000800000-7f0000900000 rw-s 00000000 00:01 32769                      /SYSV00000000 (deleted)
7ffd10000000-7ffd10002000 r--p 00000000 00:00 0                          [vvar]
"""


def test_only_mappings_whose_pages_are_a_files():
    assert [(m.file.path, m.offset, m.end - m.start) for m in parse(MAPS)] == [
        ("/usr/bin/redis-server", 0, MIB),
        ("/data/a model.bin", 2 * MIB, MIB),
        ("/dev/shm/x (deleted)", 0, MIB),
        ("/memfd:cache (deleted)", 0, MIB),
        ("/SYSV00000000 (deleted)", 0, MIB),
    ]
    assert parse(MAPS)[1] == Mapped(
        0x7F0000000000, 0x7F0000100000, 2 * MIB, File("fe:01", 12, "/data/a model.bin")
    )


def test_what_may_be_hugetlbfs_is_left_out_where_there_is_any():
    """Its pages count neither as resident files nor as mapped ones of the cgroup."""
    odd = "7f0000800000-7f0000901000 r--s 00000000 fe:01 12 /data/odd\n"
    assert [m.file.path for m in parse(MAPS + odd, hugetlb=True)] == ["/data/odd"]


@pytest.mark.parametrize("path", ["/a\x0cb\x1cc\x85d\u2028e", "/a\\012b", "/ two  spaces"])
def test_names_of_files_make_no_lines_and_no_fields(path):
    line = f"00400000-00401000 r--p 00000000 fe:01 12 {path}\n"
    assert [m.file.path for m in parse(line * 2)] == [path] * 2


def test_nothing_and_half_a_line():
    assert parse("") == parse("00400000-0040") == ()
    assert choose((), page=PAGE).addresses == ()
    assert count(choose((), page=PAGE), ()) == {}


def mapped(first, pages, file=MODEL, offset=0):
    """At these pages of the address space, from this page of the file on."""
    return Mapped(first * PAGE, (first + pages) * PAGE, offset * PAGE, file)


def test_a_page_of_a_file_counts_once_in_a_process():
    twice = (mapped(100, 10), mapped(200, 10, offset=5), mapped(300, 3, offset=2))
    assert distinct(twice) == (mapped(100, 10), mapped(205, 5, offset=10))
    assert distinct((mapped(0, 5), mapped(9, 5, LIBRARY))) == (
        mapped(9, 5, LIBRARY),
        mapped(0, 5),
    )
    assert sizes(twice) == {MODEL: 23 * PAGE}


mappings = st.lists(
    st.tuples(st.integers(1, 300), st.sampled_from([MODEL, LIBRARY]), st.integers(0, 50)),
    max_size=8,
).map(
    lambda parts: tuple(
        mapped(i * 10000, length, file, offset) for i, (length, file, offset) in enumerate(parts)
    )
)


@given(mappings)
def test_distinct_covers_the_same_pages_of_each_file_once(found):
    def covered(those):
        return [
            (m.file, page)
            for m in those
            for page in range(m.offset // PAGE, (m.offset + m.end - m.start) // PAGE)
        ]

    once = covered(distinct(found))
    assert sorted(once) == sorted(set(covered(found)))


@given(mappings, st.integers(1, 64))
def test_the_sample_is_evenly_spread_and_inside(found, most):
    sample = choose(found, page=PAGE, most=most)
    everything = [a for m in found for a in range(m.start, m.end, PAGE)]
    assert len(sample.addresses) == min(most, len(everything))
    place_of = {a: i for i, a in enumerate(everything)}
    places = [place_of[a] for a in sample.addresses]
    n = len(places)
    # One of each stretch, and so none twice.
    assert all(
        i * len(everything) // n <= place < (i + 1) * len(everything) // n
        for i, place in enumerate(places)
    )
    for address, file in zip(sample.addresses, sample.files, strict=True):
        assert any(m.start <= address < m.end and m.file == file for m in found)
    assert sample == choose(found, page=PAGE, most=most)


def lying(sample, where):
    """What is found if page n of the address space lies where this function says."""
    return count(sample, [where(address // PAGE) for address in sample.addresses])


@given(mappings, st.randoms())
def test_all_pages_asked_is_no_estimate(found, random):
    whole = distinct(found)
    there = sum(m.end - m.start for m in whole) // PAGE
    nodes = random.choices([0, 1, -2], k=there)
    sample = choose(whole, page=PAGE, most=max(1, there))
    result = count(sample, nodes)
    for (device, inode, node), (_, estimate) in result.items():
        true = sum(
            n == node and file[:2] == (device, inode)
            for n, file in zip(nodes, sample.files, strict=True)
        )
        assert estimate == Estimate(true * PAGE, 0)
    assert sum(e.bytes for _, e in result.values()) == PAGE * sum(n >= 0 for n in nodes)


@given(
    length=st.integers(2000, 200_000),
    share=st.floats(0, 1),
    before=st.integers(0, 5000),
)
def test_the_estimate_keeps_to_its_error(length, share, before):
    """A stretch of a file on node 1, the rest on node 0 or not there: half the error is enough."""
    edge = 10_000 + int(length * share)
    sample = choose((mapped(0, before, LIBRARY), mapped(10_000, length)), page=PAGE)
    result = lying(sample, lambda page: 1 if 10_000 <= page < edge else -2)
    _, estimate = result.get(("fe:01", 12, 1), (MODEL, Estimate(0, int(2 * sample.step))))
    assert abs(estimate.bytes - (edge - 10_000) * PAGE) <= estimate.error


def test_interleaved_memory_is_not_met_on_one_node_only():
    """Every second page: a distance of 32 pages between the sampled ones is met by one node."""
    sample = choose((mapped(0, 32 * 1024),), page=PAGE)
    assert sample.step == 32 * PAGE
    result = lying(sample, lambda page: page % 2)
    for node in (0, 1):
        assert result["fe:01", 12, node][1].bytes == pytest.approx(64 * MIB, rel=0.05)


def on(node, amount, *, file=MODEL, error=0):
    return {(*file[:2], node): (file, Estimate(amount, error))}


def test_of_two_processes_the_one_that_maps_more():
    assert merged(on(1, 5) | on(0, 9), on(1, 7)) == on(1, 7) | on(0, 9)
    assert merged(on(1, 7), on(1, 5) | on(1, 3, file=LIBRARY)) == on(1, 7) | on(1, 3, file=LIBRARY)
    assert merged({}, on(1, 7)) == on(1, 7)


@pytest.mark.parametrize(
    ("found", "charged", "told", "expected"),
    [
        pytest.param(on(1, 64 * MIB), {}, (), {("/data/model.bin", 1): 64 * MIB}, id="all"),
        pytest.param(
            on(1, 64 * MIB), {0: 500 * MIB, 1: 4 * MIB}, (), {("/data/model.bin", 1): 60 * MIB},
            id="less what is charged there",
        ),
        pytest.param(on(1, 64 * MIB), {1: 64 * MIB}, (), {}, id="its own"),
        pytest.param(on(0, 64 * MIB), {}, (), {}, id="at home"),
        pytest.param(on(1, 3 * MIB), {}, (), {}, id="no more than can't be moved"),
        pytest.param(on(1, 7 * MIB, error=4 * MIB), {}, (), {}, id="may be too little"),
        pytest.param(
            on(1, 3 * MIB, error=4 * MIB), {}, [("/data/model.bin", 1)],
            {("/data/model.bin", 1): 3 * MIB}, id="told before",
        ),
        pytest.param(on(1, MIB), {}, [("/data/model.bin", 1)], {}, id="told before, and gone"),
        pytest.param(
            on(1, 64 * MIB) | on(2, 9 * MIB) | on(1, 70 * MIB, file=LIBRARY), {1: MIB}, (),
            {
                ("/usr/lib/libtorch.so", 1): 69 * MIB,
                ("/data/model.bin", 1): 63 * MIB,
                ("/data/model.bin", 2): 9 * MIB,
            },
            id="several, the largest first",
        ),
    ],
)  # fmt: skip
def test_what_is_told(found, charged, told, expected):
    result = tell(found, charged=charged, home=HOME, told=told)
    assert [(one.name, one.bytes) for one in result] == list(expected.items())


def test_five_files_and_those_that_are_told_already_keep_their_place():
    """Else the fifth and sixth, of nearly the same size, would cost a write each look."""
    many = {}
    for n in range(7):
        many |= on(1, (10 + n) * MIB, file=File("fe:01", n, f"/f{n}"))
    first = tell(many, charged={}, home=HOME)
    assert [one.file.path for one in first] == ["/f6", "/f5", "/f4", "/f3", "/f2"]
    again = tell(
        many | on(1, 20 * MIB, file=File("fe:01", 1, "/f1")),
        charged={}, home=HOME, told=[one.name for one in first],
    )  # fmt: skip
    assert {one.name for one in again} == {one.name for one in first}


def test_two_files_of_one_name_are_no_error():
    same = File("00:31", 9, MODEL.path)
    assert len(tell(on(1, 9 * MIB) | on(1, 9 * MIB, file=same), charged={}, home=HOME)) == 2


@given(
    st.integers(0, 200), st.integers(0, 50), st.dictionaries(st.integers(0, 2), st.integers(0, 99))
)
def test_never_more_is_told_than_the_pod_maps_beyond_its_charge(amount, error, charged):
    by_node = {node: size * MIB for node, size in charged.items()}
    for one in tell(on(1, amount * MIB, error=error * MIB), charged=by_node, home=HOME):
        assert 4 * MIB <= one.bytes == amount * MIB - by_node.get(1, 0)


def test_the_gate():
    assert gate({0: MIB, 1: 2 * MIB}, told=False) == 19 * MIB
    assert gate({0: MIB, 1: 2 * MIB}, told=True) == 11 * MIB


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (File("fe:01", 12, "/elsewhere/mounted"), True),
        (File("fe:01", 13, MODEL.path), False),
        (File("00:2b", 12, MODEL.path), True),  # another overlay above the same layer
        (File("00:2b", 12, "/other"), False),
    ],
)
def test_one_file_in_two_pods(other, same):
    assert MODEL.same(other) == other.same(MODEL) == same


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/model.bin", "/data/model.bin"),
        ("/modèle 1 (deleted)", "/modèle 1 (deleted)"),
        ("/\x1b[31mred\x07\x85", "/?[31mred??"),
        ("/" + "x" * 255, "/" + "x" * 255),
        ("/" + "d" * 300 + "/model.bin", "..." + "d" * 243 + "/model.bin"),
    ],
)
def test_how_a_path_is_shown(path, expected):
    assert shown(path) == expected
    assert len(expected) <= 256
