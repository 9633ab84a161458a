"""Page cache that memory.min keeps, without a kernel."""

import pytest

from numapin_agent.cgroup.protection import cache_by_node, kept, protected, with_minimum
from numapin_api.errors import CgroupError

MIB = 1 << 20


def cgroup(mount, name, minimum, current=0, **lists):
    path = mount / name
    path.mkdir(parents=True)
    (path / "memory.min").write_text(f"{minimum}\n")
    (path / "memory.current").write_text(f"{current}\n")
    lines = (f"{k} " + " ".join(f"N{n}={s}" for n, s in enumerate(v)) for k, v in lists.items())
    (path / "memory.numa_stat").write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("cache", "spare", "found"),
    [
        ({0: 100, 1: 300}, 0, {0: 100, 1: 300}),
        ({0: 100, 1: 300}, 200, {0: 0, 1: 100}),
        ({0: 100, 1: 300}, 1000, {0: 0, 1: 0}),
        ({}, 0, {}),
    ],
)
def test_what_is_beyond_the_minimum_may_be_had_on_each_node(cache, spare, found):
    assert kept(cache, spare=spare) == found


def test_the_lists_of_files_are_counted_and_no_tmpfs():
    text = (
        "anon N0=9 N1=9\nfile N0=9 N1=9\nshmem N0=9 N1=9\n"
        "inactive_anon N0=9 N1=9\ninactive_file N0=1 N1=2\nactive_file N0=30 N1=40\n"
    )
    assert cache_by_node(text) == {0: 31, 1: 42}
    with pytest.raises(CgroupError, match="N0=x"):
        cache_by_node("active_file N0=x")


def test_cgroups_at_the_top_are_added_up_those_below_are_not(tmp_path):
    pods = cgroup(tmp_path, "kubepods.slice", 100, 100, active_file=(10, 20))
    user = cgroup(tmp_path, "user.slice", "max", 50, inactive_file=(1, 2))
    cgroup(tmp_path, "system.slice", 0, 100, active_file=(1000, 1000))
    cgroup(tmp_path, "system.slice/a.service", 100, 100, active_file=(1000, 1000))
    (tmp_path / "init.scope").mkdir()
    (tmp_path / "cgroup.controllers").write_text("")
    assert with_minimum(tmp_path) == (pods, user)
    assert protected((pods, user)) == {0: 11, 1: 22}


def test_without_a_minimum_nothing_is_read_and_nothing_kept(tmp_path):
    cgroup(tmp_path, "kubepods.slice", 0, 100, active_file=(1000, 1000))
    assert with_minimum(tmp_path) == ()
    assert with_minimum(tmp_path / "not-mounted") == ()
    assert protected(()) == {}


@pytest.mark.parametrize("name", ["memory.min", "memory.current", "memory.numa_stat"])
def test_what_can_not_be_understood_keeps_nothing(tmp_path, name):
    pods = cgroup(tmp_path, "kubepods.slice", 100, 100, active_file=(10, 20))
    good = cgroup(tmp_path, "user.slice", 100, 100, active_file=(1, 2))
    (pods / name).write_text("active_file N0=lots\n")
    assert protected((pods, good))[0] <= 11
    (pods / "memory.numa_stat").unlink()
    assert protected((pods, good)) == {0: 1, 1: 2}
