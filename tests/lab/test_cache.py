import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_lab.cache import Cache, hash_tree, key_of


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text(), st.text())
def test_every_input_is_part_of_the_key(
    inputs: dict[str, str], name: str, one: str, other: str
) -> None:
    same = key_of({**inputs, name: one}) == key_of({**inputs, name: other})
    assert same == (one == other)


def test_built_once(tmp_path: Path) -> None:
    cache, built = Cache(tmp_path), []

    def build(out: Path) -> None:
        built.append(out)
        (out / "file").write_text("whole")

    first = cache.ensure("kind", {"a": "1"}, build)
    assert cache.ensure("kind", {"a": "1"}, build) == first
    assert (first / "file").read_text() == "whole"
    assert len(built) == 1


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(out: Path) -> None:
        (out / "half").write_text("half")
        raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        cache.ensure("kind", {}, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["locks"]


def test_what_an_interrupted_build_left_is_not_used(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    left = tmp_path / f".building-{cache.path('kind', {}).name}"
    left.mkdir()
    (left / "half").write_text("half")
    made = cache.ensure("kind", {}, lambda out: (out / "file").touch())
    assert sorted(p.name for p in made.iterdir()) == [".inputs.json", "file"]


def test_two_at_once_build_once(tmp_path: Path) -> None:
    cache, built = Cache(tmp_path), []
    inside, go_on = threading.Event(), threading.Event()

    def build(out: Path) -> None:
        inside.set()
        assert go_on.wait(10)
        built.append(out)

    threads = [threading.Thread(target=cache.ensure, args=("kind", {}, build)) for _ in range(2)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(built) == 1


def test_only_the_newest_of_a_kind_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path, keep=2)
    for n in range(4):
        cache.ensure("kind", {"n": str(n)}, lambda out: (out / "file").touch())
    assert cache.path("kind", {"n": "3"}).exists()
    assert len(list(tmp_path.glob("kind-*"))) == 2


def test_another_kind_is_not_dropped(tmp_path: Path) -> None:
    cache = Cache(tmp_path, keep=1)
    other = cache.ensure("kind-long", {}, lambda out: (out / "file").touch())
    for n in range(3):
        cache.ensure("kind", {"n": str(n)}, lambda out: (out / "file").touch())
    assert other.exists()


def test_tree_hash_sees_names_contents_and_modes(tmp_path: Path) -> None:
    file = tmp_path / "a" / "file"
    file.parent.mkdir()
    file.write_text("1")
    seen = {hash_tree(tmp_path)}
    file.write_text("2")
    seen.add(hash_tree(tmp_path))
    file.chmod(0o755)
    seen.add(hash_tree(tmp_path))
    file.rename(tmp_path / "a" / "other")
    seen.add(hash_tree(tmp_path))
    assert len(seen) == 4


def test_tree_hash_leaves_compiled_python_out(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1")
    before = hash_tree(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "module.cpython-311.pyc").write_bytes(b"\0")
    assert hash_tree(tmp_path) == before
