"""What a trace says of what it could not name or see."""

import pytest

from numapin_agent.trace.words import unnamed, unseen


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], []),
        (["/a\x1b"], ["functions of /a?: unknown symbols, why"]),
        (list("abcde"), ["functions of a, b, c and 2 more: unknown symbols, why"]),
    ],
)
def test_files_without_names_are_told(files, said):
    assert unnamed(files, "why") == said


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({}, []),
        ({"a_fentry": 5, "a_fexit": 3}, []),
        ({"a_kprobe": 5, "a_kretprobe": 5}, []),
        ({"a_kprobe": 5, "a_kretprobe": 6}, []),
        ({"a_kprobe": 5}, []),
        ({"a_kprobe": 5, "a_kretprobe": 3}, ["of 2 of 5 calls the return was not seen"]),
    ],
)
def test_calls_that_were_not_seen_to_end_are_told(runs, said):
    found = unseen(runs)
    assert len(found) == len(said)
    assert all(one in other for one, other in zip(said, found, strict=True))
