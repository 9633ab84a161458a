"""A node's sockets and NUMA nodes as zones of a NodeResourceTopology.

Pure. Zones of type Node named ``node-N`` are what scheduler-plugins reads; sockets are their
parents, and other consumers see them. It deliberately has no attribute ``topologyManagerPolicy``:
a scheduler that finds one turns pods away by rules that this kubelet may not follow.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from numapin_operator.placement.room import CPU, MEMORY, Place, places
from numapin_operator.placement.values import Node, Pinned

API_VERSION: Final = "topology.node.k8s.io/v1alpha2"
KIND: Final = "NodeResourceTopology"
OWN_LABEL: Final = "app.kubernetes.io/managed-by"
OWN: Final = "numapin"

Json = dict[str, Any]


def zones(node: Node, pins: Sequence[Pinned]) -> list[Json]:
    """What there is and what is left of each socket and of each of its NUMA nodes.

    Left is what one more pin could ask for: pods that are not pinned run everywhere, and the
    scheduler counts them for the node. On a node that is left to another tool that is nothing.

    Args:
        node: as its agent reports it.
        pins: all that take room there.
    """
    found = [
        {"name": _socket(place.socket), "type": "Socket", "resources": _resources(node, place)}
        for place in places(node, pins, "Socket")
    ]
    found += [
        {
            "name": _numa_node(place.numa_node),
            "type": "Node",
            "parent": _socket(place.socket),
            "costs": _costs(node, place.numa_node),
            "resources": _resources(node, place),
        }
        for place in places(node, pins, "NumaNode")
    ]
    return found


def body(name: str, owner_uid: str, found: Sequence[Json]) -> Json:
    """The object as it is applied.

    Args:
        name: of the Kubernetes node.
        owner_uid: of its NumaNode, with which it goes.
        found: see :func:`zones`.
    """
    owner = {
        "apiVersion": "numapin.io/v1alpha1",
        "kind": "NumaNode",
        "name": name,
        "uid": owner_uid,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "labels": {OWN_LABEL: OWN}, "ownerReferences": [owner]},
        "zones": list(found),
    }


def foreign(obj: Mapping[str, Any]) -> bool:
    """Whether somebody else made an object: then it is theirs to write.

    Args:
        obj: as the API server has it.
    """
    labels = obj.get("metadata", {}).get("labels") or {}
    return labels.get(OWN_LABEL) != OWN


def _socket(socket: int) -> str:
    return f"socket-{socket}"


def _numa_node(node: int | None) -> str:
    return f"node-{node}"


def _costs(node: Node, numa_node: int | None) -> list[Json]:
    topology = node.topology
    ids = [n.id for n in topology.nodes]
    if numa_node not in ids or not topology.distances:
        return []
    row = topology.distances[ids.index(numa_node)]
    return [{"name": _numa_node(i), "value": d} for i, d in zip(ids, row, strict=True)]


def _resources(node: Node, place: Place) -> list[Json]:
    topology = node.topology
    online = next(
        s.cpus
        for s in (topology.sockets if place.numa_node is None else topology.nodes)
        if s.id == (place.socket if place.numa_node is None else place.numa_node)
    )
    share = 0 if node.taken_by else 1
    # A pin of the whole socket may be anywhere in it, one of two sockets on either.
    cpu_left = share * place.room.left(place.mask, CPU)
    found = [
        {
            "name": "cpu",
            "capacity": str(len(online)),
            "allocatable": str(len(place.cpus)),
            "available": f"{max(0, cpu_left)}m",
        }
    ]
    if place.mems:
        memory_left = share * place.room.left(place.mask, MEMORY)
        found.append(
            {
                "name": "memory",
                "capacity": str(place.memory_total),
                "allocatable": str(place.memory_total),
                "available": str(max(0, memory_left)),
            }
        )
    return found
