"""A topology as data: the JSON that ``numapin topology`` promises.

Written by hand rather than with the contract's models: those leave absent fields out and
load pydantic, this prints ``null`` and starts at once.
"""

from typing import Any

from numapin_api.topology import Topology


def as_data(topology: Topology) -> dict[str, Any]:
    """JSON-ready form: cpulists as text, a missing socket as null.

    Args:
        topology: any machine's.
    """
    return {
        "sockets": [
            {"id": s.id, "cpus": str(s.cpus), "nodes": list(s.nodes)} for s in topology.sockets
        ],
        "nodes": [
            {"id": n.id, "cpus": str(n.cpus), "memoryBytes": n.memory_bytes, "socket": n.socket}
            for n in topology.nodes
        ],
        "distances": [list(row) for row in topology.distances],
    }
