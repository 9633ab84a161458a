"""Every flag, and what is said of wrong ones."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from numapin_agent.config import _parse, duration_seconds, parse


def test_defaults() -> None:
    config = parse(["--node-name", "numa-0"])
    assert config.node_name == "numa-0"
    assert config.paths.root == Path("/")
    assert config.state_dir == Path("/run/numapin")
    assert (config.metrics_address, config.metrics_port) == ("0.0.0.0", 9465)
    assert config.interval_seconds == 10
    assert (config.log_level, config.log_format) == (logging.INFO, "json")
    assert config.counters
    assert not config.compatibility_metrics
    assert not config.dram_counters
    assert config.latency == ()


@pytest.mark.parametrize(
    ("arguments", "probes"),
    [
        (["--latency-metrics=timers", "--latency-metrics=softirqs"], ("timers", "softirqs")),
        (["--latency-metrics=timers", "--latency-metrics=timers"], ("timers",)),
        (["--latency-metrics=timers", "--no-counters"], ()),
    ],
)
def test_what_is_counted_always(arguments: list[str], probes: tuple[str, ...]) -> None:
    assert parse(["--node-name=n", *arguments]).latency == probes


def test_what_is_counted_always_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMAPIN_LATENCY_METRICS", "timers netfilter")
    assert parse(["--node-name=n"]).latency == ("timers", "netfilter")


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
        (["--metrics-port", "65536"], "'65536' is no port; allowed: 0 to 65535"),
        (["--metrics-port", "-1"], "'-1' is no port; allowed: 0 to 65535"),
        (["--metrics-address", "localhost"], "'localhost' is no IPv4 address like 0.0.0.0"),
        (["--log-level", "loud"], "'loud' is not one of"),
        (["--latency-metrics", "spike"], "'spike' is not one of 'softirqs', 'hardirqs', 'timers'"),
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


@pytest.mark.parametrize(
    ("name", "value", "flag", "allowed"),
    [
        ("NODE_NAME", "Numa_0", "--node-name", "lower-case letters, digits, - and ., at most 253"),
        ("NODE_NAME", "x" * 254, "--node-name", "at most 253"),
        ("NUMAPIN_INTERVAL", "ten", "--interval", "a duration like 500ms, 10s or 1m"),
        ("NUMAPIN_INTERVAL", "2m", "--interval", "between 1s and 60s"),
        ("NUMAPIN_METRICS_PORT", "http", "--metrics-port", "0 to 65535"),
        ("NUMAPIN_METRICS_PORT", "70000", "--metrics-port", "0 to 65535"),
        ("NUMAPIN_METRICS_ADDRESS", "::", "--metrics-address", "IPv4 address like 0.0.0.0"),
        ("NUMAPIN_LOG_LEVEL", "loud", "--log-level", "'debug', 'info', 'warning', 'error'"),
        ("NUMAPIN_LOG_FORMAT", "xml", "--log-format", "'json', 'text'"),
        ("NUMAPIN_HOST_ROOT", "/no/root", "--host-root", "does not exist"),
        ("NUMAPIN_STATE_DIR", "/proc/version", "--state-dir", "is a file"),
        ("NUMAPIN_KUBECONFIG", "/no/config", "--kubeconfig", "does not exist"),
    ],
)
def test_wrong_environment_is_fatal_with_its_name_value_and_what_is_allowed(
    name: str, value: str, flag: str, allowed: str
) -> None:
    done = CliRunner().invoke(_parse, env={"NODE_NAME": "n"} | {name: value})
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert f"'{flag}' (env var: '{name}')" in said
    assert value in said
    assert allowed in said


def test_an_empty_node_name_is_missing() -> None:
    done = CliRunner().invoke(_parse, env={"NODE_NAME": ""})
    assert done.exit_code == 2
    assert "Missing option '--node-name' (env var: 'NODE_NAME')" in done.output


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    assert "NODE_NAME" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m", 60)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds
