"""How a kubelet manages CPUs and memory, from its flags, configuration and state files. Pure.

The state files say what is in force, so they win; then flags, which the kubelet itself lets
win over its configuration. What none of them says is the kubelet's default, but only where
its configuration could be read at all.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from numapin_api.cpulist import CpuSet
from numapin_api.errors import CpuListError

_DEFAULT = "none"
"""Of all three managers: pkg/kubelet/apis/config/v1beta1/defaults.go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletFacts:
    """How the kubelet manages CPUs and memory; None where nothing says so.

    Attributes:
        cpu_manager: policy of the CPU manager.
        memory_manager: policy of the memory manager.
        topology_manager: policy of the topology manager.
        exclusive_cpus: CPUs that the CPU manager has given to containers.
    """

    cpu_manager: str | None = None
    memory_manager: str | None = None
    topology_manager: str | None = None
    exclusive_cpus: CpuSet = CpuSet()  # noqa: RUF009 (immutable)


def flag(arguments: Sequence[str], name: str) -> str | None:
    """The value of ``--name=value`` or ``--name value``; the last one counts.

    Args:
        arguments: a command line.
        name: without dashes.
    """
    found = None
    for i, argument in enumerate(arguments):
        if argument == f"--{name}" and i + 1 < len(arguments):
            found = arguments[i + 1]
        elif argument.startswith(f"--{name}="):
            found = argument.partition("=")[2]
    return found


def kubelet_facts(
    *,
    arguments: Sequence[str] = (),
    config: str | None = None,
    cpu_state: str | None = None,
    memory_state: str | None = None,
) -> KubeletFacts:
    """What the kubelet's own files say.

    Args:
        arguments: its command line; empty when no kubelet was seen.
        config: its config.yaml; None when it can't be read.
        cpu_state: cpu_manager_state of its directory.
        memory_state: memory_manager_state of the same.
    """
    cpus, memory, said = _object(cpu_state), _object(memory_state), _object(config)
    default = _DEFAULT if said else None

    def policy(state: Mapping[str, Any], name: str, key: str) -> str | None:
        found = state.get("policyName") or flag(arguments, name) or said.get(key) or default
        return None if found is None else str(found)

    return KubeletFacts(
        cpu_manager=policy(cpus, "cpu-manager-policy", "cpuManagerPolicy"),
        memory_manager=policy(memory, "memory-manager-policy", "memoryManagerPolicy"),
        topology_manager=policy({}, "topology-manager-policy", "topologyManagerPolicy"),
        exclusive_cpus=_exclusive(cpus.get("entries")),
    )


def _object(text: str | None) -> Mapping[str, Any]:
    """A mapping in YAML or JSON, empty for whatever else is there."""
    if not text:
        return {}
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _exclusive(entries: object) -> CpuSet:
    given: Iterable[object] = (
        cpus
        for containers in (entries.values() if isinstance(entries, dict) else ())
        if isinstance(containers, dict)
        for cpus in containers.values()
    )
    try:
        return CpuSet(cpu for text in given for cpu in CpuSet.parse(str(text)))
    except CpuListError:
        return CpuSet()
