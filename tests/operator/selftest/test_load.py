"""The load of the pod that is pinned for a try."""

from numapin_operator.selftest.load import touch


def test_every_page_is_written_and_nothing_else():
    memory = bytearray(b"x" * (3 * 4096))
    touch(memory)
    assert [i for i, byte in enumerate(memory) if byte == 0] == [0, 4096, 8192]
