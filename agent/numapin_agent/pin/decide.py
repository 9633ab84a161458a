"""What to do next about one pod: a pure function of the order and of what was seen.

The order of a pin is the whole point (a cpuset.mems write with much to move holds up every
process attach and cgroup mkdir of the node until it is done, kernel/cgroup/cpuset.c
``cpuset_migrate_mm_wq``): CPUs first, then pages in paced batches, memory nodes last. A pod
with hardly any memory yet goes at once.

No I/O and no clock. Each step changes one thing; the caller looks again after each, so any
state, also one that a crash left behind, leads to the same end.

A pin must not cost a pod its life: where its NUMA nodes run low, its memory nodes are widened
(``guard.rules`` says when, and the guard's own thread is faster than this), and narrowed again
when there has been room for a while.
"""

from dataclasses import dataclass

from numapin_agent.cgroup.values import Cpuset
from numapin_agent.guard.rules import least_free
from numapin_agent.pin.values import ContainerCpuset, Past, PinOrder, Problem, Record, View
from numapin_api.cpulist import CpuSet, NodeSet

MIB = 1 << 20
BASELINE_SECONDS = 30.0
"""Counters that a running pod needs from before its pin."""
FRESH_SECONDS = 30.0
"""A younger pod has no "before" worth waiting for: it is starting up."""
FRESH_BYTES = 4 * MIB
"""A lone process with less is a sandbox."""
AT_ONCE = 4 * MIB
"""Up to this much is left to one systemd call: PID 1 moves it in a few milliseconds. Not if
the pod has much on the target: the kernel walks all of its page tables in any case."""
SMALL = 64 * MIB
"""Up to this much may be left to the kernel when cpuset.mems is written: 20 to 60 ms."""
ACCEPTABLE = 256 * MIB
"""Accepted when moving no longer gets on: pages that can't be moved cost the write little."""
RETRY_SECONDS = 300.0
"""How long a page move that failed or got stuck is left alone."""
HYSTERESIS_PERCENT = 5
"""Of the target's memory, beyond the headroom, before a widened pin is narrowed again."""
NARROW_AGAIN_SECONDS = 600.0
"""Nor is it before: a pod that fills and empties its socket would else be moved each time."""
STAND_DOWN_DRIFTS = 6
"""So many changes by somebody else within ten minutes are a fight, which we don't fight."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The pod's cgroup is not there."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Write nothing."""


@dataclass(frozen=True, slots=True)
class Unpin:
    """Give the cpuset back."""


@dataclass(frozen=True, slots=True)
class TakeBaseline:
    """Go on counting before anything is written."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Set CPUs, memory nodes or both in one go.

    Attributes:
        cpus: None leaves them.
        mems: None leaves them.
        guarded: mems are widened because the target NUMA nodes run low.
    """

    cpus: CpuSet | None = None
    mems: NodeSet | None = None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class MovePages:
    """Start moving pages, or let it go on."""

    mems: NodeSet


@dataclass(frozen=True, slots=True)
class NarrowMems:
    """Set the memory nodes of a pod whose pages are there."""

    mems: NodeSet


@dataclass(frozen=True, slots=True)
class Hold:
    """Everything that can be done is done."""

    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Write nothing, and give back what was written."""

    problem: Problem


Step = Wait | Observe | Unpin | TakeBaseline | Apply | MovePages | NarrowMems | Hold | Refuse


def next_step(order: PinOrder, view: View | None, past: Past) -> Step:
    """The next thing to do about a pod.

    Args:
        order: what is wanted.
        view: what is; None when the pod has no cgroup.
        past: what is remembered.
    """
    if view is None:
        return Wait()
    if order.mode == "Observe" or order.cpus is None:
        return Unpin() if past.record is not None else Observe()
    narrow = order.mems is not None and order.memory != "None"
    wanted = Cpuset(
        CpuSet(order.cpus & view.parent.cpus),
        NodeSet(order.mems & view.parent.mems)
        if order.mems is not None and narrow
        else view.parent.mems,
    )
    gate = _gate(order, wanted, view, past)
    if gate is not None:
        return gate
    if past.record is not None and past.record.hasty:
        # Once more by the right way, so that systemd does not put the old value back.
        return Apply(mems=view.parent.mems, guarded=True)
    if narrow:
        return _with_memory(order, wanted, view, past)
    return _without_memory(wanted, view, past)


def _gate(order: PinOrder, wanted: Cpuset, view: View, past: Past) -> Step | None:
    """What keeps a pin from being written at all; None when nothing does."""
    if not wanted.cpus or not wanted.mems:
        return Refuse(
            Problem(
                "OutsideParent",
                f"cpus {order.cpus} mems {order.mems} are asked for, but the pod's parent "
                f"cgroup only has {view.parent}",
            )
        )
    if past.record is None:
        conflict = find_conflict(wanted, view)
        if conflict is not None:
            return Refuse(conflict)
        if not is_fresh(view) and past.history_seconds < BASELINE_SECONDS:
            return TakeBaseline()
    elif past.drifts >= STAND_DOWN_DRIFTS and view.effective != wanted:
        return Hold(
            Problem(
                "Conflict",
                f"somebody else changed the pod's cpuset {past.drifts} times within ten minutes, "
                f"last to {view.effective}; wanted {wanted}; leaving it alone for now",
            )
        )
    return None


def find_stranger(order: PinOrder, view: View, record: Record | None) -> Problem | None:
    """Why a cgroup is not the one of the pod that claims it; None when it is.

    The UID of a static pod comes from an annotation, which its author may have made up. So
    one of the containers that the kubelet reports for the pod must be in the cgroup, or the
    pod of that name must be on file: containers that restart are missing for a moment.

    Args:
        order: what is wanted.
        view: the cgroup of that UID.
        record: what is on file for that UID.
    """
    if not order.mirrors or any(c.name for c in view.containers):
        return None
    if record is not None and (record.namespace, record.name) == (order.namespace, order.name):
        return None
    return Problem(
        "NotItsCgroup",
        f"pod {order.namespace}/{order.name} says that it mirrors the static pod {order.uid}, "
        "but that one's cgroup holds none of its containers",
    )


def is_fresh(view: View) -> bool:
    """Whether the pod is only starting, so that there is no "before" to measure."""
    if view.age_seconds < FRESH_SECONDS:
        return True
    return view.processes <= 1 and sum(view.memory.movable.values()) <= FRESH_BYTES


def find_conflict(wanted: Cpuset, view: View) -> Problem | None:
    """A container whose own cpuset can't be kept within the pin.

    The kernel runs a cgroup whose own set has nothing in common with its parent's on the
    parent's, silently. A static CPU manager gives containers of Guaranteed pods exclusive
    CPUs, of which a pin may only leave a part; a shared pool holds the pinned CPUs wholly.
    """
    for c in view.containers:
        for file, own, want in (
            ("cpuset.cpus", c.own.cpus, wanted.cpus),
            ("cpuset.mems", c.own.mems, wanted.mems),
        ):
            if not own:
                continue
            if not own & want:
                return _conflict(c, file, own, want, "nothing in common")
            exclusive = view.guaranteed and file == "cpuset.cpus"
            if exclusive and not own <= want and not want <= own:
                return _conflict(c, file, own, want, f"only {own & want} in common")
        if view.effective == wanted and not (
            c.effective.cpus <= wanted.cpus and c.effective.mems <= wanted.mems
        ):
            message = f"{c.title} runs with {c.effective}, outside of the pod's {wanted}"
            return Problem("Conflict", message)
    return None


def _conflict(
    c: ContainerCpuset, file: str, own: CpuSet | NodeSet, want: CpuSet | NodeSet, how: str
) -> Problem:
    return Problem(
        "Conflict",
        f"{c.title} has {file} {own} of its own (CPU manager, NRI plugin or the like), the pin "
        f"wants {want}: {how}",
    )


def _without_memory(wanted: Cpuset, view: View, past: Past) -> Step:
    if past.record is not None and past.record.mems and view.effective.mems != wanted.mems:
        return Apply(mems=wanted.mems)
    return _cpus_then(Hold(find_conflict(wanted, view)), wanted, view, past)


def _cpus_then(step: Step, wanted: Cpuset, view: View, past: Past) -> Step:
    # Without a record of it the value is nobody's, even where it happens to be right.
    ours = past.record is not None and past.record.cpus & view.parent.cpus == wanted.cpus
    if ours and view.effective.cpus == wanted.cpus:
        return step
    return Apply(cpus=wanted.cpus)


def _with_memory(order: PinOrder, wanted: Cpuset, view: View, past: Past) -> Step:
    target, record = wanted.mems, past.record
    ours = record is not None and record.mems == target
    if ours and view.effective.mems == target:
        if target != view.parent.mems and _free(view, target) < _least(order, view, target):
            return Apply(mems=view.parent.mems, guarded=True)
        return _cpus_then(Hold(find_conflict(wanted, view)), wanted, view, past)
    guarded = record is not None and record.guarded and not ours
    off = view.memory.off(target)
    problem = _too_early(target, view, past) if guarded else None
    problem = problem or _lack_of_room(order, target, off, view, past)
    if problem is not None:
        if order.memory == "Strict" and not ours and not guarded:
            return Refuse(problem)
        return _cpus_only(problem, wanted, view, past)
    slight = off <= AT_ONCE and sum(view.memory.movable.values()) <= SMALL
    if slight and not past.moving:
        return Apply(cpus=wanted.cpus, mems=target)
    return _cpus_then(_bring(target, off, view, past), wanted, view, past)


def _cpus_only(problem: Problem, wanted: Cpuset, view: View, past: Past) -> Step:
    narrowed = past.record is not None and past.record.mems
    if narrowed and view.effective.mems != view.parent.mems:
        return Apply(mems=view.parent.mems, guarded=True)
    return _cpus_then(Hold(problem), wanted, view, past)


def _too_early(target: NodeSet, view: View, past: Past) -> Problem | None:
    """Why a pin that was widened must stay so for a while, whatever is free now."""
    if past.guarded_seconds >= NARROW_AGAIN_SECONDS:
        return None
    return Problem(
        "RanLow",
        f"NUMA nodes {target} ran low, so the pod's memory may come from {view.parent.mems}; "
        f"looked at again {NARROW_AGAIN_SECONDS / 60:.0f} minutes after that",
    )


def _free(view: View, target: NodeSet) -> int:
    return sum(view.available.get(n, 0) for n in target)


def _least(order: PinOrder, view: View, target: NodeSet) -> int:
    capacity = sum(view.capacity.get(n, 0) for n in target)
    return least_free(order.memory, headroom_percent=order.headroom_percent, capacity=capacity)


def exposed_to(order: PinOrder, view: View, record: Record | None) -> tuple[NodeSet, int] | None:
    """The NUMA nodes that a pod is bound to, and the bytes that must stay available there.

    Args:
        order: what is wanted.
        view: what is.
        record: what is on file.

    Returns:
        None where ``bound_to`` says so.
    """
    bound = bound_to(view.effective.mems, view.parent.mems, record)
    return None if bound is None else (bound, _least(order, view, bound))


def bound_to(effective: NodeSet, parent: NodeSet, record: Record | None) -> NodeSet | None:
    """The NUMA nodes that a pin of ours binds a pod to.

    Args:
        effective: of the pod.
        parent: its parent's.
        record: what is on file. It is written first: while a widening fails it says more nodes
            than the pod has.

    Returns:
        None when the pod may use all that its parent has, or is bound by somebody else.
    """
    if record is None or not effective <= record.mems or not effective < parent:
        return None
    return effective


def _headroom(order: PinOrder, view: View, target: NodeSet) -> int:
    return sum(view.capacity.get(n, 0) for n in target) * order.headroom_percent // 100


def _lack_of_room(
    order: PinOrder, target: NodeSet, off: int, view: View, past: Past
) -> Problem | None:
    total = sum(view.capacity.get(n, 0) for n in target)
    keep = _headroom(order, view, target)
    if past.moving:
        # On its way: what others took meanwhile should not stop it half-way.
        keep //= 2
    elif past.record is not None and past.record.mems == target:
        # Ours already: the pod's own use of the target must not cost it the pin.
        keep = 0
    elif past.record is not None and past.record.guarded:
        keep += total * HYSTERESIS_PERCENT // 100
    free = _free(view, target)
    if off + keep <= free:
        return None
    return Problem(
        "NoRoom",
        f"{off} bytes of the pod lie off NUMA nodes {target}, which have {free} bytes "
        f"available, of which {keep} are to stay free (headroom {order.headroom_percent}% of "
        f"{total})",
    )


def _bring(target: NodeSet, off: int, view: View, past: Past) -> Step:
    if not target <= view.effective.mems:
        # move_pages(2) refuses nodes outside of the task's cpuset.
        return Apply(mems=NodeSet(target | view.effective.mems))
    return _move(target, off, past)


def _move(target: NodeSet, off: int, past: Past) -> Step:
    if past.moving:
        return MovePages(target)
    outcome = past.outcome
    if outcome is not None and outcome.mems != target:
        outcome = None
    done = outcome is not None and outcome.error is None
    if off <= SMALL or (outcome is not None and done and outcome.left <= ACCEPTABLE):
        return NarrowMems(target)
    if past.immovable is not None:
        return Hold(
            Problem(
                "CannotMovePages",
                f"{off} bytes of the pod lie off NUMA nodes {target} and can't be moved gently: "
                f"{past.immovable}; only its CPUs are pinned",
            )
        )
    if outcome is None or outcome.age_seconds >= RETRY_SECONDS:
        return MovePages(target)
    if outcome.error is not None:
        return Hold(Problem("PageMoveFailed", f"{outcome.error}; only its CPUs are pinned"))
    return Hold(
        Problem(
            "NotConverging",
            f"{outcome.left} bytes stay off NUMA nodes {target} however often they are moved "
            f"(does the pod set a memory policy of its own?); only its CPUs are pinned",
        )
    )
