"""What a loader refuses before it has compiled anything says what is missing."""

import os
from pathlib import Path

import pytest

from numapin_agent.trace import loader
from numapin_agent.trace.plan import RefusedError
from numapin_agent.trace.question import Question, Scope, Task


def task(btf: Path) -> Task:
    return Task(
        question=Question("timers"),
        scope=Scope(),
        btf=str(btf),
        kprobe_pmu="/nowhere",
        machine="x86_64",
        cpus=1,
        online=(0,),
        map_bytes=1 << 20,
        store=None,
        numa_nodes=(0,),
        macros={},
    )


def test_a_kernel_without_types_is_told_by_the_file_and_what_makes_it(monkeypatch, tmp_path):
    monkeypatch.setattr(loader, "need_bpf", lambda: None)
    with pytest.raises(RefusedError, match=r"vmlinux: No such file.*CONFIG_DEBUG_INFO_BTF"):
        loader.prepare(task(tmp_path / "vmlinux"))
    (tmp_path / "vmlinux").write_bytes(b"nothing of the kind")
    with pytest.raises(RefusedError, match="types can't be read: no BTF"):
        loader.prepare(task(tmp_path / "vmlinux"))


@pytest.mark.parametrize(("user", "hint"), [(0, False), (1000, True)])
def test_who_may_not_use_bpf_is_told_to_be_root(monkeypatch, tmp_path, user, hint):
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted (capability BPF missing)")

    monkeypatch.setattr(loader, "need_bpf", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(RefusedError, match="capability BPF missing") as refused:
        loader.prepare(task(tmp_path))
    assert str(refused.value).endswith("; be root") is hint
