"""The built-in default policy and the flags: what is not understood is fatal."""

import socket
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from numapin_api.policy import NumaPolicySpec
from numapin_operator.__main__ import main
from numapin_operator.config import read_policy


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n"])
def test_nothing_is_all_defaults(text: str):
    assert read_policy(text) == NumaPolicySpec()


def test_every_field_is_read():
    found = read_policy(
        """
        mode: Observe
        granularity: NumaNode
        placement: {strategy: Pack, onUnplaceable: CpuOnly}
        memory: Preferred
        memoryHeadroom: 25%
        verification:
          {window: 5m, maxCrossSocketPagesPerSecond: 0, minLocalPercent: 80, onFailure: Unpin}
        """
    )
    assert (found.mode, found.granularity, found.memory) == ("Observe", "NumaNode", "Preferred")
    assert (found.placement.strategy, found.placement.on_unplaceable) == ("Pack", "CpuOnly")
    assert found.memory_headroom == "25%"
    assert found.verification.model_dump() == {
        "window": "5m",
        "max_cross_socket_pages_per_second": 0,
        "min_local_percent": 80,
        "on_failure": "Unpin",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mod: Enforce", "mod: no such field; allowed: mode, granularity, placement"),
        ("placement: {strategi: Pack}", "placement.strategi: no such field; allowed: strategy"),
        ("verification: {windows: 1m}", "verification.windows: no such field"),
        ("podSelector: {}", "podSelector: the default policy applies to every pod"),
        ("priority: 1", "priority: the default policy"),
        ("mode: Of", "mode: 'Of': Input should be 'Enforce' or 'Observe'"),
        ("memoryHeadroom: 10", "memoryHeadroom: 10"),
        ("memoryHeadroom: 100%", "memoryHeadroom: '100%'"),
        ("verification: {window: 5s}", "verification.window: '5s' is not between 10s and 60m"),
        ("verification: {window: 61m}", "verification.window: '61m'"),
        ("verification: {minLocalPercent: 101}", "verification.minLocalPercent: 101"),
        ("placement: Pack", "placement: 'Pack'"),
        (
            "placement: {rebalance: {treshold: 1%}}",
            "placement.rebalance.treshold: no such field; allowed: mode, threshold",
        ),
        (
            "placement: {rebalance: {after: 1s}}",
            "placement.rebalance.after: '1s' is not between 10s and 60m",
        ),
        ("placement: {rebalance: {cooldown: 99m}}", "placement.rebalance.cooldown: '99m'"),
        # To YAML, off is false.
        ("placement: {rebalance: {mode: off}}", "placement.rebalance.mode: False"),
        ("- mode", "no mapping"),
        ("mode: [", "not YAML"),
    ],
)
def test_what_is_not_understood_is_named(text: str, said: str):
    with pytest.raises(ValueError, match=".") as caught:  # noqa: RUF043
        read_policy(text)
    assert said in str(caught.value)


@given(st.text())
def test_any_file_is_read_or_refused_with_a_reason(text: str):
    try:
        assert isinstance(read_policy(text), NumaPolicySpec)
    except ValueError as error:
        assert str(error)  # noqa: PT017 (either outcome is fine)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--default-policy=/nowhere"], "does not exist"),
        (["--liveness-port=0"], "--liveness-port"),
        (["--api-rate=0"], "--api-rate"),
        (["--log-format=xml"], "--log-format"),
        (["--no-such-flag"], "No such option"),
    ],
)
def test_wrong_flags_end_with_status_2(flags: list[str], said: str):
    result = CliRunner().invoke(main, flags)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("name", "value", "flag", "allowed"),
    [
        ("NUMAPIN_LIVENESS_PORT", "0", "--liveness-port", "1 to 65535"),
        ("NUMAPIN_LIVENESS_PORT", "80.5", "--liveness-port", "1 to 65535"),
        ("NUMAPIN_METRICS_PORT", "http", "--metrics-port", "1 to 65535"),
        ("NUMAPIN_API_RATE", "fast", "--api-rate", "1 to 10000"),
        ("NUMAPIN_API_RATE", "nan", "--api-rate", "1 to 10000"),
        ("NUMAPIN_RESYNC", "-1", "--resync", "1 to 86400"),
        ("NUMAPIN_RESYNC", "5m", "--resync", "1 to 86400"),
        ("NUMAPIN_LOG_LEVEL", "loud", "--log-level", "'debug', 'info', 'warning', 'error'"),
        ("NUMAPIN_LOG_FORMAT", "xml", "--log-format", "'json', 'plain'"),
        ("NUMAPIN_DEFAULT_POLICY", "/no/file", "--default-policy", "does not exist"),
        ("KUBECONFIG", "/no/config", "--kubeconfig", "does not exist"),
    ],
)
def test_wrong_environment_is_fatal_with_its_name_value_and_what_is_allowed(
    name: str, value: str, flag: str, allowed: str
):
    result = CliRunner().invoke(main, env={name: value})
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert f"'{flag}' (env var: '{name}')" in said
    assert value in said
    assert allowed in said


def test_two_pages_can_not_share_a_port():
    result = CliRunner().invoke(main, ["--metrics-port=9000", "--liveness-port=9000"])
    assert result.exit_code == 2
    assert "--metrics-port: 9000 is --liveness-port already" in " ".join(result.output.split())


def test_wrong_policy_file_ends_with_status_2_and_names_the_field(tmp_path: Path):
    file = tmp_path / "policy.yaml"
    file.write_text("memory: Sometimes")
    result = CliRunner().invoke(main, [f"--default-policy={file}"])
    assert result.exit_code == 2
    assert "memory: 'Sometimes'" in result.output
    assert "--default-policy" in result.output


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    file = tmp_path / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_text(yaml.safe_dump(config))
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, [f"--kubeconfig={file}", f"--metrics-port={port}"])
    assert result.exit_code == 1
    assert f"--metrics-port {port}: can't listen there: Address already in use" in result.output


def test_without_credentials_it_says_so_and_ends(tmp_path: Path):
    file = tmp_path / "kubeconfig"
    file.write_text("apiVersion: v1\nkind: Config\n")
    result = CliRunner().invoke(main, [f"--kubeconfig={file}"], env={"KUBECONFIG": None})
    assert result.exit_code == 1
    assert "no usable API credentials" in result.output
