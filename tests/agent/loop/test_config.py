"""Every flag, and what is said of wrong ones."""

import logging
from pathlib import Path

import pytest

from numapin_agent.config import duration_seconds, parse


def test_defaults() -> None:
    config = parse(["--node-name", "numa-0"])
    assert config.node_name == "numa-0"
    assert config.paths.root == Path("/")
    assert config.state_dir == Path("/run/numapin")
    assert (config.metrics_address, config.metrics_port) == ("0.0.0.0", 9465)
    assert config.interval_seconds == 10
    assert (config.log_level, config.log_format) == (logging.INFO, "json")


def test_the_state_lies_below_the_host_root(tmp_path: Path) -> None:
    config = parse(["--node-name", "n", "--host-root", str(tmp_path)])
    assert config.state_dir == tmp_path / "run/numapin"
    assert config.paths.cgroup == tmp_path / "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--node-name"),
        (["--node-name", "Numa_0"], "'Numa_0' is not the name of a Kubernetes node"),
        (["--interval", "10"], "'10' is not a duration like 500ms, 10s or 1m"),
        (["--interval", "0s"], "'0s' is not between 1s and 60s"),
        (["--interval", "2m"], "'2m' is not between 1s and 60s"),
        (["--metrics-port", "65536"], "65536"),
        (["--log-level", "loud"], "'loud' is not one of"),
        (["--log-format", "xml"], "'xml' is not one of"),
        (["--host-root", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--pin-everything"], "--pin-everything"),
        (["extra"], "extra"),
    ],
)
def test_wrong_values_are_fatal_and_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [] if not arguments or "--node-name" in arguments else ["--node-name", "n"]
    with pytest.raises(SystemExit) as ended:
        parse([*named, *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    assert "NODE_NAME" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m", 60)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds
