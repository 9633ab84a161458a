"""One pod, decided: from what is known to the pin and the status that should be there.

The pure middle of the reconcile loop. It compares nothing with the API and writes nothing;
the loop does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from numapin_api.cpulist import CpuSet
from numapin_api.pin import Move, NumaPinSpec, NumaPinStatus, Observed, Verdict
from numapin_api.policy import NumaPolicySpec
from numapin_operator import before, build, conditions
from numapin_operator.checks import Eyes
from numapin_operator.moves import crowded
from numapin_operator.placement.crowd import Crowd, Leaving, plan_among
from numapin_operator.placement.plan import plan
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Spot, Unplaceable
from numapin_operator.pods import Key, Pod
from numapin_operator.records import NodeRecord, PinRecord
from numapin_operator.select import Choice, Invalid, select
from numapin_operator.steady import steadied
from numapin_operator.tenants import Neighbour, candidate, crowd, left_behind, tenant
from numapin_operator.verdict import NOT_SEEN_YET, Judgement, Refusal, judge


@dataclass(frozen=True, slots=True)
class Situation:
    """All that one decision depends on.

    Attributes:
        pod: a scheduled, opted-in pod.
        pin: its pin for this very pod (same uid), if there is one.
        node: its node's NumaNode, if there is one.
        neighbours: pins of the other pods there.
        policies: all NumaPolicies by name.
        namespace_labels: of the pod's namespace.
        default: the policy when none matches.
        overdue: it has waited for word of its devices for long enough.
        move: where it is to be moved, if it is.
        now: when it is decided, with time zone: for a move that it is itself a reason for.
    """

    pod: Pod
    pin: PinRecord | None
    node: NodeRecord | None
    neighbours: tuple[Pinned, ...]
    policies: Mapping[str, NumaPolicySpec]
    namespace_labels: Mapping[str, str]
    default: NumaPolicySpec
    now: datetime
    overdue: bool = False
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the pin should say.

    Attributes:
        spec: its spec.
        refusal: why it has no socket, when it has none.
        message: where the pod goes and why, when it has one.
        spot: the room that it takes.
        fingerprint: what a release would depend on.
        released: value of the release annotation, if it is released.
        others: pods to be looked at because of this one: those whose place it leaves, or the one
            that is to leave in its stead.
        moved: why it was moved; empty if it wasn't.
    """

    spec: NumaPinSpec
    refusal: Refusal | None = None
    message: str = ""
    spot: Spot | None = None
    fingerprint: str = ""
    released: str | None = None
    others: tuple[Key, ...] = ()
    moved: str = ""


def _unseen(observed: Observed | None) -> bool:
    """Whether the agent may still tell where a running pod's memory is.

    Waiting for that costs nothing: it is the same agent that would have to pin the pod.
    """
    if observed is None:
        return True
    refused = observed.phase == "Refused"
    lasting = observed.problem is not None and observed.problem.reason not in NOT_SEEN_YET
    return not observed.memory and not (refused and lasting)


def _released(situation: Situation, mark: str) -> str | None:
    """The message of a release that still holds; None if there is none."""
    pin = situation.pin
    if pin is None or pin.released != mark:
        return None
    status = pin.status()
    said = next(
        (c for c in (status.conditions if status else ()) if c.type == conditions.PINNED), None
    )
    if said is not None and said.reason == conditions.RELEASED:
        return said.message
    return "released because the pin was Ineffective for a whole window (onFailure Unpin)"


def _refused(
    pod: Pod, choice: Choice, reason: str, message: str, *, verdict: Verdict = "Unplaceable"
) -> Decision:
    refusal = Refusal(reason, message, "Observing" if choice.mode == "Observe" else verdict)
    return Decision(
        spec=build.spec(pod, choice, None),
        refusal=refusal,
        fingerprint=build.fingerprint(choice, pod.node or ""),
    )


def _stopped(pod: Pod, choice: Choice, obstacle: before.Obstacle) -> Decision:
    return _refused(pod, choice, obstacle.reason, obstacle.message, verdict=obstacle.verdict)


def _placed(pod: Pod, choice: Choice, placement: Placement, move: Move | None) -> Decision:
    spec = build.spec(pod, choice, placement, move=move)
    return Decision(
        spec=spec,
        message=placement.message + (f"; {spec.move.message}" if spec.move is not None else ""),
        spot=placement.spot if choice.mode == "Enforce" else None,
        fingerprint=build.fingerprint(choice, pod.node or ""),
        moved="" if spec.move is None else spec.move.message,
    )


def _without_node(situation: Situation, choice: Choice) -> Decision:
    """No topology: a pin that exists stays as it is, a new one waits."""
    pod, pin = situation.pod, situation.pin
    spot = None if pin is None else pin.spot(None)
    if pin is None or spot is None:
        return _refused(
            pod,
            choice,
            "NoAgent",
            f"no numapin agent has reported the topology of node {pod.node}",
            verdict="Pending",
        )
    old = pin.spec()
    mems = old.mems if choice.memory != "None" else None
    return Decision(
        spec=build.spec(pod, choice, None).model_copy(
            update={
                "socket": old.socket,
                "sockets": old.sockets,
                "cpus": old.cpus,
                "mems": mems,
                "move": old.move,
            }
        ),
        message=f"socket {old.socket} of node {pod.node}: CPUs {CpuSet.parse(old.cpus or '')}, "
        "as before; the node's NumaNode is gone",
        spot=spot if choice.mode == "Enforce" else None,
        fingerprint=build.fingerprint(choice, pod.node or ""),
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What the planner is asked: everything that its answer depends on."""

    node: Node
    neighbours: tuple[Pinned, ...]
    candidate: Candidate
    choice: Choice


def chosen(situation: Situation) -> Choice | Invalid:
    """The policy of the pod, its annotations applied."""
    record = situation.node
    node = None if record is None else record.plan
    return select(
        situation.pod,
        namespace_labels=situation.namespace_labels,
        policies=situation.policies,
        default=situation.default,
        topology=None if node is None else node.topology,
    )


def question(  # noqa: PLR0911 (one return a reason to ask nothing)
    situation: Situation,
) -> Question | Decision:
    """What the planner is to be asked; a decision where there is nothing to ask."""
    pod, pin, record = situation.pod, situation.pin, situation.node
    node, choice = None if record is None else record.plan, chosen(situation)
    if isinstance(choice, Invalid):
        return Decision(
            spec=build.spec(pod, None, None),
            refusal=Refusal(choice.reason, choice.message, "Invalid"),
        )
    released = _released(situation, build.fingerprint(choice, pod.node or ""))
    if released is not None:
        return release(pod, choice, released)
    if node is None:
        return _without_node(situation, choice)
    status = None if pin is None else pin.status()
    observed = None if status is None else status.observed
    # A place that the agent found too small for what the pod really uses is no place to keep.
    current = None if pin is None or pin.refused else pin.spot(node.topology)
    obstacle = before.taken(node, pod) if choice.mode == "Enforce" else None
    if obstacle is not None:
        return _stopped(pod, choice, obstacle)
    devices = before.devices(
        pod, node, choice, pinned=current is not None, overdue=situation.overdue
    )
    if isinstance(devices, before.Obstacle):
        return _stopped(pod, choice, devices)
    if pod.running and current is None and _unseen(observed):
        return _refused(
            pod,
            choice,
            "AwaitingResidency",
            "the pod runs already: the agent is to say first where its memory is and how much",
            verdict="Pending",
        )
    return Question(node, situation.neighbours, candidate(pod, observed, current, devices), choice)


def decide(situation: Situation) -> Decision:
    """What a pod's pin should say."""
    asked = question(situation)
    if isinstance(asked, Decision):
        return asked
    pod, pin = situation.pod, situation.pin
    before = asked.candidate.current if asked.choice.mode == "Enforce" else None
    decision = _moved(situation, asked)
    if decision is not None:
        return replace(decision, others=left_behind(asked.neighbours, before, decision.spot))
    outcome, who = _among(situation, asked)
    if isinstance(outcome, Unplaceable):
        decision = _refused(pod, asked.choice, outcome.reason, outcome.message)
    else:
        move = None if pin is None else pin.move
        if pin is not None and pin.enforced and who is not None:
            move = crowded(pin.socket, outcome.socket, who, now=situation.now) or move
        decision = _placed(pod, asked.choice, outcome, move)
    others = left_behind(asked.neighbours, before, decision.spot)
    if who is not None and who.name != str(pod.key):
        others = (*others, Key(*who.name.split("/", 1)))
    elif who is not None and who.told is not None and decision.moved != who.told.message:
        # On its socket, from one NUMA node to another or of several: no ``spec.move`` tells of it.
        message = f"{decision.message}; {who.told.message}"
        decision = replace(decision, message=message, moved=who.told.message)
    return replace(decision, others=others)


def _among(situation: Situation, asked: Question) -> tuple[Placement | Unplaceable, Leaving | None]:
    """Where the pod goes, and who leaves its place if more is asked for there than there is."""
    pod, pin = situation.pod, situation.pin
    if asked.choice.mode != "Enforce":
        # It takes no room, so that nobody has to make any for it.
        return plan(asked.node, asked.neighbours, asked.candidate, asked.choice), None
    status = None if pin is None else pin.status()
    me = replace(
        tenant(
            pod,
            asked.node,
            asked.choice,
            spot=asked.candidate.current,
            observed=None if status is None else status.observed,
        ),
        pod=asked.candidate,
        in_vain=pin is not None and pin.in_vain,
    )

    def others() -> Crowd:
        return crowd(asked.neighbours, asked.node, lambda one: _choice_of(one, situation))

    return plan_among(asked.node, asked.neighbours, me, others)


def _choice_of(one: Neighbour, situation: Situation) -> Choice | Invalid:
    """The policy of a neighbour."""
    record = situation.node
    return select(
        one.pod,
        namespace_labels=one.namespace_labels,
        policies=situation.policies,
        default=situation.default,
        topology=None if record is None or record.plan is None else record.plan.topology,
    )


def _moved(situation: Situation, asked: Question) -> Decision | None:
    """The pod on the socket that it is to be moved to; None if that has no room any more."""
    move, choice = situation.move, asked.choice
    if move is None or choice.mode != "Enforce" or choice.socket is not None:
        return None
    outcome = plan(
        asked.node,
        asked.neighbours,
        replace(asked.candidate, current=None),
        replace(choice, socket=move.to_socket, on_unplaceable="Skip"),
    )
    if isinstance(outcome, Unplaceable):
        return None
    return _placed(situation.pod, choice, outcome, move)


def release(pod: Pod, choice: Choice, message: str) -> Decision:
    """Give a pin up until the policy or the pod asks for something else."""
    mark = build.fingerprint(choice, pod.node or "")
    return Decision(
        spec=build.spec(pod, choice, None),
        refusal=Refusal(conditions.RELEASED, message, "Ineffective"),
        fingerprint=mark,
        released=mark,
    )


def must_release(decision: Decision, judgement: Judgement) -> bool:
    """Whether onFailure Unpin asks to give this pin up now."""
    return (
        decision.spec.socket is not None
        and decision.spec.mode == "Enforce"
        and decision.spec.verification.on_failure == "Unpin"
        and judgement.verdict == "Ineffective"
        and judgement.whole_window
    )


def give_up(decision: Decision, judgement: Judgement) -> Decision:
    """The decision that follows from ``must_release``."""
    message = f"released by onFailure Unpin: {judgement.message}"
    return Decision(
        spec=decision.spec.model_copy(
            update={"socket": None, "sockets": None, "cpus": None, "mems": None, "move": None}
        ),
        refusal=Refusal(conditions.RELEASED, message, "Ineffective"),
        fingerprint=decision.fingerprint,
        released=decision.fingerprint,
    )


def assess(decision: Decision, pin: PinRecord, *, seen: Eyes, now: datetime) -> Judgement:
    """The verdict on a pin as it stands in the API."""
    status = pin.status()
    found = judge(
        decision.spec,
        None if status is None else status.observed,
        generation=pin.generation,
        seen=seen,
        refusal=decision.refusal,
        now=now,
    )
    return steadied(found, status, generation=pin.generation)


def status(
    decision: Decision,
    pin: PinRecord,
    judgement: Judgement,
    *,
    moved: conditions.Claim | None = None,
    now: datetime,
) -> NumaPinStatus:
    """The operator's part of the status that a pin should have.

    Args:
        decision: what the pin says.
        pin: as it stands in the API.
        judgement: the verdict on it.
        moved: whether its last move has helped; None if it was not moved.
        now: for the times of conditions.
    """
    old = pin.status()
    wanted = conditions.claims(
        decision.spec,
        None if old is None else old.observed,
        judgement,
        refusal=decision.refusal,
        message=decision.message,
    )
    return NumaPinStatus(
        observed_generation=pin.generation,
        verdict=judgement.verdict,
        evidence=judgement.evidence,
        local_percent=judgement.local_percent,
        cross_socket_pages_per_second=judgement.cross_socket_pages_per_second,
        conditions=conditions.settle(
            wanted if moved is None else (*wanted, moved),
            [] if old is None else old.conditions,
            now=now,
            generation=pin.generation,
        ),
    )
