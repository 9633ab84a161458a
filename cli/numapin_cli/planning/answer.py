"""What ``numapin plan`` prints for programs: its contract, field by field. Pure."""

from typing import Any

from numapin_api.base import Wire
from numapin_api.policy import MemoryMode, Mode
from numapin_cli.planning.decide import Answer, Decided
from numapin_operator.placement.plan import Option
from numapin_operator.placement.room import WHOLE


class Weighed(Wire):
    """A socket or NUMA node that was weighed for a pod."""

    place: str
    socket: int
    numa_node: int | None
    cpu_percent: float
    """CPUs taken there with the pod, by requests and real use."""
    memory_percent: float
    """Memory taken there with the pod, by requests and real use."""
    local_bytes: int
    """Of the pod's memory, what is there already."""
    off_device: int
    """0 where its devices are or without any, 1 on another NUMA node there, 2 elsewhere."""
    together: int
    """Pods there that placement.colocate wants it to be with."""
    replicas: int
    """Pods of its workload there that placement.spreadReplicas keeps it from."""
    obstacle: str
    """Why it is no place for the pod; empty if it has room."""


class PlannedPin(Wire):
    """A pod that gets a place."""

    namespace: str
    name: str
    node: str
    socket: int
    sockets: list[int]
    """All of them, when one doesn't hold the pod."""
    cpus: str
    mems: str | None
    """None when only CPUs are pinned."""
    memory: MemoryMode
    policy: str
    mode: Mode
    message: str
    explain: list[Weighed] | None = None


class Unplaceable(Wire):
    """A pod that gets none."""

    namespace: str
    name: str
    reason: str
    message: str
    explain: list[Weighed] | None = None


class PlannedMove(Wire):
    """A pinned pod that is worth moving."""

    namespace: str
    name: str
    from_socket: int
    to_socket: int
    bytes: int
    gain: float
    """Percent of a socket: what the busiest socket is relieved of by each move of the series,
    or what the pod that waits asks for."""
    reason: str
    message: str

    def data(self) -> dict[str, Any]:
        """For programs: ``from`` and ``to``, which Python has no fields of."""
        found = self.model_dump(mode="json", by_alias=True)
        ends = {"from": found.pop("fromSocket"), "to": found.pop("toSocket")}
        head = {"namespace": found.pop("namespace"), "name": found.pop("name")}
        return head | ends | found


class Plan(Wire):
    """The whole answer."""

    pins: list[PlannedPin]
    unplaceable: list[Unplaceable]
    moves: list[PlannedMove] | None
    """None where nobody asked for them."""

    def data(self) -> dict[str, Any]:
        """For programs."""
        found: dict[str, Any] = {
            "pins": [_without_none(p, "explain") for p in self.pins],
            "unplaceable": [_without_none(u, "explain") for u in self.unplaceable],
        }
        if self.moves is not None:
            found["moves"] = [m.data() for m in self.moves]
        return found


def _without_none(one: Wire, field: str) -> dict[str, Any]:
    found = one.model_dump(mode="json", by_alias=True)
    if found[field] is None:
        del found[field]
    return found


def _percent(millionths: int) -> float:
    return round(100 * millionths / WHOLE, 1)


def _weighed(option: Option) -> Weighed:
    score, place = option.score, option.place
    return Weighed(
        place=place.label,
        socket=place.socket,
        numa_node=place.numa_node,
        cpu_percent=_percent(score.cpu),
        memory_percent=_percent(score.memory),
        local_bytes=score.local,
        off_device=score.off_device,
        together=score.together,
        replicas=score.replicas,
        obstacle=option.obstacle,
    )


def _explained(one: Decided, *, explain: bool) -> list[Weighed] | None:
    return [_weighed(option) for option in one.options] if explain else None


def plan_of(answer: Answer, *, explain: bool, moves: bool) -> Plan:
    """The answer as it is printed.

    Args:
        answer: what was decided.
        explain: with what was weighed.
        moves: with the moves, also when there are none.
    """
    pins: list[PlannedPin] = []
    refused: list[Unplaceable] = []
    for one in answer.decided:
        key, spec, refusal = one.pod.key, one.decision.spec, one.decision.refusal
        if spec.socket is not None and spec.cpus is not None:
            pins.append(
                PlannedPin(
                    namespace=key.namespace,
                    name=key.name,
                    node=spec.node_name,
                    socket=spec.socket,
                    sockets=spec.sockets or [spec.socket],
                    cpus=spec.cpus,
                    mems=spec.mems,
                    memory=spec.memory,
                    policy=spec.policy,
                    mode=spec.mode,
                    message=one.decision.message,
                    explain=_explained(one, explain=explain),
                )
            )
        elif refusal is not None:
            refused.append(
                Unplaceable(
                    namespace=key.namespace,
                    name=key.name,
                    reason=refusal.reason,
                    message=refusal.message,
                    explain=_explained(one, explain=explain),
                )
            )
    refused += [
        Unplaceable(
            namespace=pod.key.namespace,
            name=pod.key.name,
            reason="NotScheduled",
            message="it has no spec.nodeName yet: the scheduler decides on the node",
        )
        for pod in answer.unscheduled
    ]
    return Plan(
        pins=pins,
        unplaceable=refused,
        moves=[
            PlannedMove(
                namespace=move.name.split("/", 1)[0],
                name=move.name.split("/", 1)[1],
                from_socket=move.from_socket,
                to_socket=move.to_socket,
                bytes=move.bytes_to_move,
                gain=move.gain,
                reason=move.reason,
                message=move.message,
            )
            for move in answer.moves
        ]
        if moves
        else None,
    )
