"""One pod, decided: from what is known to the pin and the status that should be there.

The pure middle of the reconcile loop. It compares nothing with the API and writes nothing;
the loop does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from numapin_api.cpulist import CpuSet
from numapin_api.pin import NumaPinSpec, NumaPinStatus, Observed
from numapin_api.policy import NumaPolicySpec
from numapin_operator import build, conditions
from numapin_operator.checks import Eyes
from numapin_operator.plan import Candidate, Placement, Unplaceable, plan
from numapin_operator.pods import Pod
from numapin_operator.records import NodeRecord, PinRecord
from numapin_operator.room import Pinned, Spot
from numapin_operator.select import Choice, Invalid, select
from numapin_operator.steady import steadied
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
    """

    pod: Pod
    pin: PinRecord | None
    node: NodeRecord | None
    neighbours: tuple[Pinned, ...]
    policies: Mapping[str, NumaPolicySpec]
    namespace_labels: Mapping[str, str]
    default: NumaPolicySpec


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
    """

    spec: NumaPinSpec
    refusal: Refusal | None = None
    message: str = ""
    spot: Spot | None = None
    fingerprint: str = ""
    released: str | None = None


def _resident(observed: Observed | None) -> Mapping[int, int]:
    """Where the pod's memory is, by the agent's last report."""
    return {} if observed is None else {m.node: m.bytes for m in observed.memory}


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
    pod: Pod, choice: Choice, reason: str, message: str, *, waiting: bool = False
) -> Decision:
    refusal = Refusal(reason, message, "Pending" if waiting else "Unplaceable")
    if choice.mode == "Observe":
        refusal = Refusal(reason, message, "Observing")
    return Decision(
        spec=build.spec(pod, choice, None),
        refusal=refusal,
        fingerprint=build.fingerprint(choice, pod.node or ""),
    )


def _placed(pod: Pod, choice: Choice, placement: Placement) -> Decision:
    return Decision(
        spec=build.spec(pod, choice, placement),
        message=placement.message,
        spot=placement.spot if choice.mode == "Enforce" else None,
        fingerprint=build.fingerprint(choice, pod.node or ""),
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
            waiting=True,
        )
    old = pin.spec()
    mems = old.mems if choice.memory != "None" else None
    return Decision(
        spec=build.spec(pod, choice, None).model_copy(
            update={"socket": old.socket, "cpus": old.cpus, "mems": mems}
        ),
        message=f"socket {old.socket} of node {pod.node}: CPUs {CpuSet.parse(old.cpus or '')}, "
        "as before; the node's NumaNode is gone",
        spot=spot if choice.mode == "Enforce" else None,
        fingerprint=build.fingerprint(choice, pod.node or ""),
    )


def decide(situation: Situation) -> Decision:
    """What a pod's pin should say."""
    pod, pin, record = situation.pod, situation.pin, situation.node
    node = None if record is None else record.plan
    choice = select(
        pod,
        namespace_labels=situation.namespace_labels,
        policies=situation.policies,
        default=situation.default,
        topology=None if node is None else node.topology,
    )
    if isinstance(choice, Invalid):
        return Decision(
            spec=build.spec(pod, None, None),
            refusal=Refusal(choice.reason, choice.message, "Invalid"),
        )
    mark = build.fingerprint(choice, pod.node or "")
    released = _released(situation, mark)
    if released is not None:
        return release(pod, choice, released)
    if node is None:
        return _without_node(situation, choice)
    status = None if pin is None else pin.status()
    observed = None if status is None else status.observed
    # A place that the agent found too small for what the pod really uses is no place to keep.
    current = None if pin is None or pin.refused else pin.spot(node.topology)
    if pod.running and current is None and _unseen(observed):
        return _refused(
            pod,
            choice,
            "AwaitingResidency",
            "the pod runs already: the agent is to say first where its memory is and how much",
            waiting=True,
        )
    candidate = Candidate(
        requests=pod.requests,
        resident=_resident(observed),
        current=current,
        cpu_limit_millis=pod.cpu_limit_millis,
    )
    outcome = plan(node, situation.neighbours, candidate, choice)
    if isinstance(outcome, Unplaceable):
        return _refused(pod, choice, outcome.reason, outcome.message)
    return _placed(pod, choice, outcome)


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
        spec=decision.spec.model_copy(update={"socket": None, "cpus": None, "mems": None}),
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
    decision: Decision, pin: PinRecord, judgement: Judgement, *, now: datetime
) -> NumaPinStatus:
    """The operator's part of the status that a pin should have."""
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
            wanted,
            [] if old is None else old.conditions,
            now=now,
            generation=pin.generation,
        ),
    )
