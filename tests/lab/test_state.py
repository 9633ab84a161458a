from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab import state
from numapin_lab.process import Process
from numapin_lab.state import LabState, NodeState

NODE = NodeState(
    process=Process(pid=1, started=2, boot="b"),
    ssh_port=20022,
    kubelet_port=20250,
    memory_mib=6144,
    recipe="r",
    images={"localhost/pause:lab": "sha256:0"},
)


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "new" / "state.json"
    lab = LabState(topology="2s", kernel="6.12", kubernetes="1.33", nodes={"numa-0": NODE})
    state.write(file, lab)
    assert state.read(file) == lab


def test_no_lab(tmp_path: Path) -> None:
    assert state.read(tmp_path / "state.json") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"topology": "2s"}'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(LabError, match=r"state\.json can't be read .* remove the file"):
        state.read(file)


def test_a_file_from_before_there_was_a_choice_of_kubernetes(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text('{"topology": "2s", "kernel": "6.12", "nodes": {}}')
    assert state.read(file) == LabState(topology="2s", kernel="6.12", kubernetes="1.35")
