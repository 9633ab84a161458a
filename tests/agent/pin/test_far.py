"""Which addresses are handed to move_pages(2)."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.pin.far import chunks, select, tails
from numapin_api.cpulist import NodeSet

PAGE = 4096
HUGE = 4 * PAGE  # small, so that examples stay readable
ONE = NodeSet.parse("1")


def far(first, status, nodes=ONE, huge=HUGE):
    addresses = range(first * PAGE, (first + len(status)) * PAGE, PAGE)
    found = select(addresses, array("i", status), nodes, page=PAGE, huge=huge)
    return [a // PAGE for a in found.heads], [a // PAGE for a in found.singles]


def test_table():
    gone = -2
    for first, status, heads, singles in (
        (0, [0, 0, 0, 0], [0], []),
        (0, [1, 1, 1, 1], [], []),
        (0, [gone] * 4, [], []),
        (0, [0, 0, gone, 0], [], [0, 1, 3]),
        (0, [0, 0, 1, 0], [], [0, 1, 3]),
        (0, [0, 0, 0, 2], [], [0, 1, 2, 3]),
        (2, [0, 0, 0, 0, 0, 0], [4], [2, 3]),
        (2, [0, 0, 0, 0], [], [2, 3, 4, 5]),
        (4, [0] * 9, [4, 8], [12]),
        (0, [], [], []),
    ):
        assert far(first, status) == (heads, singles), (first, status)


def test_huge_pages_of_hugetlbfs_are_single_pages():
    assert far(0, [0, 0, 1], huge=PAGE) == ([], [0, 1])


@given(
    first=st.integers(0, 9),
    status=st.lists(st.sampled_from([0, 1, 2, -2, -14]) | st.just(0), max_size=40),
    nodes=st.sampled_from(["1", "0-1", "2", ""]),
)
def test_every_far_page_once_and_no_other(first, status, nodes):
    target = NodeSet.parse(nodes)
    heads, singles = far(first, status, target)
    covered = sorted([*singles, *(h + i for h in heads for i in range(4))])
    assert covered == [first + i for i, s in enumerate(status) if s >= 0 and s not in target]
    assert singles == sorted(singles)
    assert all(h % 4 == 0 for h in heads)


def test_tails_are_the_rest():
    assert tails([0, 8 * PAGE], page=PAGE, huge=HUGE) == [n * PAGE for n in (1, 2, 3, 9, 10, 11)]


@given(st.integers(0, 20000), st.integers(0, 40000))
def test_chunks_cover_a_mapping_in_order(first, length):
    pieces = list(chunks(first * PAGE, (first + length) * PAGE, PAGE))
    assert [a for piece in pieces for a in piece] == list(
        range(first * PAGE, (first + length) * PAGE, PAGE)
    )
    assert all(0 < len(piece) <= 8192 for piece in pieces)
    assert all(piece.start % (8192 * PAGE) == 0 for piece in pieces[1:])
