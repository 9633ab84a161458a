"""One frozen configuration, complete before anything starts; unknown keys are fatal."""

from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Final, Literal

import click
import yaml
from pydantic import ValidationError

from numapin_api.policy import NumaPolicySpec, Placement, Rebalance, Verification, seconds

API_RATE: Final = 500.0
"""So that 100,000 pods have their pins within five minutes; an API server of that size takes it."""
_NOT_FOR_A_DEFAULT = ("podSelector", "namespaceSelector", "priority")


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """How operators agree which of them leads.

    Attributes:
        namespace: of the Lease, which is that of the operators.
        name: of the Lease.
        me: this pod's name.
        seconds: how long it lasts.
    """

    namespace: str
    name: str
    me: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Config:
    """What the command line says.

    Attributes:
        default: the policy of pods that match none.
        kubeconfig: path; None inside a cluster.
        liveness_port: of /healthz.
        metrics_port: of /metrics.
        api_rate: most API writes a second.
        resync_seconds: between comparisons with the API server.
        publish_topology: whether NodeResourceTopology objects are written.
        lease: None for an operator that is alone.
    """

    default: NumaPolicySpec
    kubeconfig: str | None = None
    liveness_port: int = 8080
    metrics_port: int = 8081
    api_rate: float = API_RATE
    resync_seconds: float = 300.0
    publish_topology: bool = False
    lease: LeaseConfig | None = None


class Between(click.ParamType[float]):
    """A number of a flag or an environment variable, with a message that says its bounds.

    Args:
        least: smallest number allowed.
        most: largest number allowed.
        name: what it is; all but a number are whole.
    """

    def __init__(
        self, least: float, most: float, name: Literal["port", "number", "whole number"]
    ) -> None:
        self._least, self._most, self.name = least, most, name

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        try:
            found = float(value if self.name == "number" else int(value))
        except ValueError:
            found = nan
        if not self._least <= found <= self._most:
            self.fail(
                f"{value!r} is no {self.name}; allowed: {self._least} to {self._most}", param, ctx
            )
        return found


def read_lease(lease: str, me: str, seconds: float) -> LeaseConfig | None:
    """Read the flags about the Lease.

    Args:
        lease: NAMESPACE/NAME; empty for none.
        me: this pod's name.
        seconds: how long it lasts.

    Raises:
        click.BadParameter: they don't go together.
    """
    if not lease:
        return None
    namespace, _, name = lease.partition("/")
    if not namespace or not name or "/" in name:
        raise click.BadParameter(f"{lease!r}; allowed: NAMESPACE/NAME", param_hint="--lease")
    if not me:
        raise click.BadParameter("needed with --lease: the pod's name", param_hint="--pod-name")
    return LeaseConfig(namespace, name, me, int(seconds))


def read_policy(text: str) -> NumaPolicySpec:
    """Read the built-in default policy from YAML.

    Args:
        text: a NumaPolicySpec in camelCase; empty is all defaults.

    Raises:
        ValueError: names the field, the value and what is allowed.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 (wrong content of a file, not a wrong call)
            f"{found!r} is no mapping of NumaPolicySpec fields"
        )
    for key in _NOT_FOR_A_DEFAULT:
        if key in found:
            raise ValueError(f"{key}: the default policy applies to every pod that no other does")
    for part, model in (
        (None, NumaPolicySpec),
        ("placement", Placement),
        ("placement.rebalance", Rebalance),
        ("verification", Verification),
    ):
        section = found
        for name in part.split(".") if part is not None else ():
            section = section.get(name, {}) if isinstance(section, dict) else {}
        allowed = [f.alias or name for name, f in model.model_fields.items()]
        allowed = [a for a in allowed if part is not None or a not in _NOT_FOR_A_DEFAULT]
        for key in section if isinstance(section, dict) else ():
            if key not in allowed:
                where = key if part is None else f"{part}.{key}"
                raise ValueError(f"{where}: no such field; allowed: {', '.join(allowed)}")
    try:
        policy = NumaPolicySpec.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['input']!r}: {first['msg']}") from error
    rebalance = policy.placement.rebalance
    for where, window in (
        ("verification.window", policy.verification.window),
        ("placement.rebalance.after", rebalance.after),
        ("placement.rebalance.cooldown", rebalance.cooldown),
    ):
        if not 10 <= seconds(window) <= 3600:
            raise ValueError(f"{where}: {window!r} is not between 10s and 60m")
    return policy


def load_policy(path: Path | None) -> NumaPolicySpec:
    """The default policy from a file; the built-in one without a file.

    Raises:
        click.BadParameter: the file can't be read or is not understood.
    """
    if path is None:
        return NumaPolicySpec()
    try:
        return read_policy(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--default-policy") from error
