"""The pods of a node as the search for moves sees them: where they are, what they use. Pure.

Used by the operator before it moves a pod, and by ``numapin plan --rebalance`` to say what it
would move.
"""

from numapin_api.cpulist import NodeSet
from numapin_api.pin import Observed
from numapin_operator.before import told_devices
from numapin_operator.placement.state import Tenant
from numapin_operator.placement.values import NOWHERE, Node, Spot
from numapin_operator.pods import Pod
from numapin_operator.select import Choice
from numapin_operator.step import candidate


def _cpu_millis(observed: Observed | None) -> int | None:
    """CPU time that a pod took over the last window, in millicores."""
    counters = None if observed is None else observed.counters
    if counters is None or not counters.seconds:
        return None
    return round(counters.cpu_nanoseconds / counters.seconds / 1e6)


def held(pod: Pod, node: Node, choice: Choice) -> NodeSet:
    """NUMA nodes of a pod's devices, as far as they are known and its policy looks at them.

    Args:
        pod: the pod.
        node: where it runs.
        choice: its policy.
    """
    known = None if choice.devices == "Ignore" else told_devices(node, pod)
    return NOWHERE if known is None else known


def unplaced_devices(pod: Pod, node: Node, choice: Choice) -> bool:
    """Whether a pod asks for devices that count, and nobody has said yet where those are.

    Args:
        pod: the pod.
        node: where it runs.
        choice: its policy.
    """
    return pod.devices and choice.devices != "Ignore" and told_devices(node, pod) is None


def tenant(  # noqa: PLR0913 (each is another thing known of a pod)
    pod: Pod,
    node: Node,
    choice: Choice,
    *,
    spot: Spot | None,
    observed: Observed | None = None,
    movable: bool = True,
) -> Tenant:
    """A pod of a node.

    Args:
        pod: the pod.
        node: where it runs.
        choice: its policy, annotations applied.
        spot: where it is pinned; None while it waits.
        observed: what the agent says of it.
        movable: nothing else speaks against moving it now.
    """
    stays = pod.terminating or unplaced_devices(pod, node, choice)
    return Tenant(
        name=str(pod.key),
        pod=candidate(pod, observed, spot, held(pod, node, choice)),
        choice=choice,
        cpu_millis=_cpu_millis(observed),
        movable=movable and not stays,
    )
