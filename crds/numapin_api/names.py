"""Every name that users or other programs see: group, labels, annotations, managers.

One module, so that a rename is one diff and nobody spells a label by hand.
"""

from typing import Final

GROUP: Final = "numapin.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "numa"
"""``kubectl get numa`` lists all four kinds. Not "numapin": kubectl takes a category before a
singular name, and ``kubectl get numapin POD`` would be refused."""

PIN_LABEL: Final = "numapin.io/pin"
PIN_LABEL_VALUE: Final = "true"
PIN_SELECTOR: Final = f"{PIN_LABEL}={PIN_LABEL_VALUE}"

POLICY_ANNOTATION: Final = "numapin.io/policy"
SOCKET_ANNOTATION: Final = "numapin.io/socket"
MEMORY_ANNOTATION: Final = "numapin.io/memory"
MODE_ANNOTATION: Final = "numapin.io/mode"
ANNOTATIONS: Final = (POLICY_ANNOTATION, SOCKET_ANNOTATION, MEMORY_ANNOTATION, MODE_ANNOTATION)

OPERATOR_MANAGER: Final = "numapin-operator"
AGENT_MANAGER: Final = "numapin-agent"

STATIC_CPU_MANAGER: Final = "kubelet-static-cpu-manager"
"""The neighbour by which an agent tells that its kubelet's CPU manager has the policy static."""

DEFAULT_POLICY: Final = "(default)"
"""What NumaPin.spec.policy says when no NumaPolicy matches and the built-in one applies.

The parentheses keep it out of the space of object names.
"""
