"""Every setting of the agent, from flags and environment, once, at start.

The result is frozen: nothing is read again later, and no module reads the environment by
itself. It deliberately knows no defaults of policies: those are the operator's.
"""

import logging
import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, cast

import click

from numapin_agent.hostpaths import HostPaths
from numapin_agent.latency.probes import PROBES

LogFormat = Literal["json", "text"]
LOG_FORMATS = ("json", "text")
LOG_LEVELS = ("debug", "info", "warning", "error")
MAX_TRACES = 4
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 1.0, 60.0
_DURATION = re.compile(r"(\d{1,6})(ms|s|m)", re.ASCII)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
# RFC 1123 subdomain, what the API server takes as the name of a Node.
_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What the agent was told at start.

    Attributes:
        node_name: the Kubernetes node it runs on.
        paths: the host's files.
        state_dir: where the checkpoint of pins lies; must survive the container, not the boot.
        metrics_address: address that /metrics, /healthz and /readyz listen on.
        metrics_port: TCP port of the same; 0 takes a free one.
        interval_seconds: time between two passes over all pods without any event.
        log_level: a level of the standard library's logging.
        log_format: one JSON object or one plain line per message.
        counters: whether kernel programs may be loaded.
        compatibility_metrics: whether migrations are also told by names that were used before.
        dram_counters: whether the CPUs' own counters may be used, and a program run at every
            switch between cgroups to read them.
        traces: how many NumaTraces run at once; 0 answers none.
        traces_namespace: whose traces may ask about the whole node; empty is none.
        latency: what the kernel does that is counted always, of ``latency.probes.PROBES``.
        kubeconfig: where the API server is; None means the service account, else
            ``$KUBECONFIG``.
    """

    node_name: str
    paths: HostPaths
    state_dir: Path
    metrics_address: str
    metrics_port: int
    interval_seconds: float
    log_level: int
    log_format: LogFormat
    counters: bool
    compatibility_metrics: bool
    dram_counters: bool
    traces: int
    traces_namespace: str
    latency: tuple[str, ...]
    kubeconfig: Path | None


def duration_seconds(text: str) -> float:
    """Seconds in ``500ms``, ``10s`` or ``1m``.

    Raises:
        ValueError: not of that form.
    """
    m = _DURATION.fullmatch(text)
    if m is None:
        raise ValueError(f"{text!r} is not a duration like 500ms, 10s or 1m")
    return int(m[1]) * _UNIT_SECONDS[m[2]]


class _Interval(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            seconds = duration_seconds(value)
        except ValueError as e:
            self.fail(str(e), param, ctx)
        if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
            self.fail(
                f"{value!r} is not between {MIN_INTERVAL_SECONDS:.0f}s "
                f"and {MAX_INTERVAL_SECONDS:.0f}s",
                param,
                ctx,
            )
        return seconds


class _NodeName(click.ParamType[str]):
    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if _NODE_NAME.fullmatch(value) is None:
            self.fail(
                f"{value!r} is not the name of a Kubernetes node; allowed: lower-case letters, "
                "digits, - and ., at most 253",
                param,
                ctx,
            )
        return value


class _Address(click.ParamType[str]):
    name = "IPv4"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(IPv4Address(value))
        except ValueError:
            self.fail(f"{value!r} is no IPv4 address like 0.0.0.0 or 127.0.0.1", param, ctx)


class _Port(click.ParamType[int]):
    name = "port"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        port = int(text) if re.fullmatch(r"\d{1,5}", text, re.ASCII) else -1
        if not 0 <= port <= 65535:
            self.fail(f"{text!r} is no port; allowed: 0 to 65535", param, ctx)
        return port


_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "numapin-agent",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--node-name",
    envvar="NODE_NAME",
    required=True,
    show_envvar=True,
    type=_NodeName(),
    help="Kubernetes node that this agent runs on.",
)
@click.option(
    "--host-root",
    envvar="NUMAPIN_HOST_ROOT",
    default="/",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Directory that holds the host's sys, proc and run.",
)
@click.option(
    "--state-dir",
    envvar="NUMAPIN_STATE_DIR",
    show_envvar=True,
    type=_DIRECTORY,
    help="Where pins are written down; must survive the container, not the boot.  "
    "[default: run/numapin below the host root]",
)
@click.option(
    "--metrics-address",
    envvar="NUMAPIN_METRICS_ADDRESS",
    default="0.0.0.0",  # noqa: S104 -- Prometheus and the kubelet's probes come from outside
    show_default=True,
    show_envvar=True,
    type=_Address(),
    help="Address that /metrics, /healthz and /readyz listen on.",
)
@click.option(
    "--metrics-port",
    envvar="NUMAPIN_METRICS_PORT",
    default=9465,
    show_default=True,
    show_envvar=True,
    type=_Port(),
    help="Port of the same; 0 takes a free one.",
)
@click.option(
    "--interval",
    envvar="NUMAPIN_INTERVAL",
    default="10s",
    show_default=True,
    show_envvar=True,
    type=_Interval(),
    help="Time between two looks at all pods without any event, 1s to 60s.",
)
@click.option(
    "--log-level",
    envvar="NUMAPIN_LOG_LEVEL",
    default="info",
    show_default=True,
    show_envvar=True,
    type=click.Choice(LOG_LEVELS),
    help="Least level that is logged.",
)
@click.option(
    "--log-format",
    envvar="NUMAPIN_LOG_FORMAT",
    default="json",
    show_default=True,
    show_envvar=True,
    type=click.Choice(LOG_FORMATS),
    help="One JSON object or one plain line per message, on stderr.",
)
@click.option(
    "--counters/--no-counters",
    envvar="NUMAPIN_COUNTERS",
    default=True,
    show_default=True,
    show_envvar=True,
    help="Load kernel programs (eBPF) that count; without them verdicts rest on placement.",
)
@click.option(
    "--compatibility-metrics/--no-compatibility-metrics",
    envvar="NUMAPIN_COMPATIBILITY_METRICS",
    default=False,
    show_default=True,
    show_envvar=True,
    help="Also answer with ebpf_exporter_numa_move_total and ebpf_exporter_numa_latency_total.",
)
@click.option(
    "--dram-counters/--no-dram-counters",
    envvar="NUMAPIN_DRAM_COUNTERS",
    default=False,
    show_default=True,
    show_envvar=True,
    help="Count local and remote DRAM reads by the CPUs' own counters (PMU), where they can: "
    "takes two of them on each CPU, and a kernel program runs at every switch between cgroups.",
)
@click.option(
    "--traces",
    envvar="NUMAPIN_TRACES",
    default=0,
    show_default=True,
    show_envvar=True,
    type=click.IntRange(0, MAX_TRACES),
    help="NumaTraces to answer at once; 0 answers none. Needs kernel programs (--counters).",
)
@click.option(
    "--traces-namespace",
    envvar="NUMAPIN_TRACES_NAMESPACE",
    default="",
    show_envvar=True,
    help="Whose NumaTraces may ask about the whole node.  [default: none's]",
)
@click.option(
    "--latency-metrics",
    "latency",
    envvar="NUMAPIN_LATENCY_METRICS",
    multiple=True,
    show_envvar=True,
    type=click.Choice(PROBES),
    help="Count this always, as histograms in /metrics; may be repeated, in the environment with "
    "spaces between. Needs kernel programs (--counters).",
)
@click.option(
    "--kubeconfig",
    envvar="NUMAPIN_KUBECONFIG",
    show_envvar=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Where the API server is.  [default: the service account, else $KUBECONFIG]",
)
def _parse(  # noqa: PLR0913 -- click hands over one argument per flag
    *,
    node_name: str,
    host_root: Path,
    state_dir: Path | None,
    metrics_address: str,
    metrics_port: int,
    interval: float,
    log_level: str,
    log_format: str,
    counters: bool,
    compatibility_metrics: bool,
    dram_counters: bool,
    traces: int,
    traces_namespace: str,
    latency: tuple[str, ...],
    kubeconfig: Path | None,
) -> AgentConfig:
    """Keep pods on the socket that their NumaPin names, and count what they do."""
    paths = HostPaths(host_root)
    return AgentConfig(
        node_name=node_name,
        paths=paths,
        state_dir=state_dir or paths.state_dir,
        metrics_address=metrics_address,
        metrics_port=metrics_port,
        interval_seconds=interval,
        log_level=logging.getLevelNamesMapping()[log_level.upper()],
        log_format=cast(LogFormat, log_format),
        counters=counters,
        compatibility_metrics=compatibility_metrics,
        dram_counters=dram_counters,
        traces=traces if counters else 0,
        traces_namespace=traces_namespace,
        latency=tuple(dict.fromkeys(latency)) if counters else (),
        kubeconfig=kubeconfig,
    )


def parse(arguments: list[str] | None = None) -> AgentConfig:
    """Read flags and environment.

    Args:
        arguments: the command line without the program's name; None takes ``sys.argv``.

    Raises:
        SystemExit: ``--help``, or status 2 after a wrong or unknown flag was named on stderr.
    """
    try:
        parsed = _parse.main(arguments, prog_name="numapin-agent", standalone_mode=False)
    except click.ClickException as e:
        e.show()
        raise SystemExit(e.exit_code) from e
    except click.Abort as e:
        raise SystemExit(1) from e
    if not isinstance(parsed, AgentConfig):  # --help was printed: click returns its exit code
        raise SystemExit(0)
    return parsed
