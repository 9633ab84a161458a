"""The commands that label a pod now, and all pods that its owner makes. Pure: words only."""

import json
from typing import Final

from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE, PIN_SELECTOR
from numapin_cli.advise.facts import Subject

_TEMPLATES: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
"""Kinds that make pods from spec.template, and whose template may be changed."""
_PATCH: Final = json.dumps(
    {"spec": {"template": {"metadata": {"labels": {PIN_LABEL: PIN_LABEL_VALUE}}}}},
    separators=(",", ":"),
)


def label(subject: Subject) -> str | None:
    """Pins the running pod, and restarts nothing; None for a static pod.

    Args:
        subject: the pod.
    """
    if subject.static:
        return None
    namespace, name = subject.pod.key
    return f"kubectl label pod {name} -n {namespace} --overwrite {PIN_SELECTOR}"


def keep(subject: Subject) -> str | None:
    """Labels the template, so that new pods start pinned, and rolls out new ones; else None.

    Args:
        subject: the pod.
    """
    if subject.owner is None or subject.owner[0] not in _TEMPLATES or subject.static:
        return None
    kind, name = subject.owner
    return f"kubectl patch {kind.lower()} {name} -n {subject.pod.key.namespace} -p '{_PATCH}'"
