"""A week on some nodes, pod by pod, under one rule: how even the sockets are.

``MADE_UP`` is not a recorded trace (that is ``bench.recorded``) but stated distributions: every
node has two sockets of 32 CPUs and 128 GiB.
A pod asks for 0.5, 1, 2, 4 or 8 CPUs (weights 30, 30, 22, 13, 5) and 1, 2, 4 or 8 GiB a CPU; three
in ten are Guaranteed. Six in ten live for minutes (lognormal, median 20 minutes), the others
for days (lognormal, median 2 days). A pod uses 30 to 130 % of the CPU that it asks for, 60 to 100 %
of its memory, with a day's wave of 40 % of its own phase. Pods come as long as a scheduler would
bind them: requests of at most 90 % of CPU and memory, a new one every 4 minutes on average.

Every five minutes the use of each socket is taken; pods that are on no single socket use all
alike. The pods, their lives and their use are the same under every rule.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bench.harness import Row
from bench.instances import GIB, machine, policy
from bench.rivals import EXCLUSIVE, OURS, RIVALS, Asked, Free, Sockets

from numapin_api.policy import Rebalance
from numapin_operator.placement.plan import plan
from numapin_operator.placement.rebalance import Bounds, Busy, Usage, rebalance, too_busy
from numapin_operator.placement.state import Tenant
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Spot
from numapin_operator.requests import Requests

SOCKETS: Final = 2
STEP: Final = 5
"""Minutes."""
STEPS: Final = 7 * 24 * 60 // STEP
BOUND: Final = 0.9
SEED: Final = 7
AUTO: Final = Rebalance(mode="Auto", threshold="85%", min_gain="10%")
HOLD: Final = 1
"""Steps that a socket must have been too busy before: five minutes."""
COOLDOWN: Final = 6
HOT: Final = 85.0
APART: Final = 20.0


@dataclass(slots=True)
class Life:
    """A pod of the week.

    Attributes:
        asked: what it asks for.
        until: step at which it ends.
        share: of its CPU that it uses on average.
        phase: of its day.
        resident: bytes.
        where: sockets that it may run on.
        placed: one socket holds its memory too.
        moved: step of its last move.
    """

    asked: Asked
    until: int
    share: float
    phase: float
    resident: int
    where: Sockets = ()
    placed: bool = False
    moved: int = -COOLDOWN

    def use(self, step: int) -> float:
        """Millicores at a step."""
        day = 2 * math.pi * step * STEP / (24 * 60)
        return self.asked.requests.cpu_millis * self.share * (1 + 0.4 * math.sin(day + self.phase))


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens, the same under every rule.

    Attributes:
        nodes: how many, each with two sockets.
        cpus: of a socket.
        memory: bytes of a socket.
        coming: pods of a node, made anew with each call, with the step at which each comes.
    """

    nodes: int
    cpus: int
    memory: int
    coming: Callable[[int], list[tuple[int, Life]]]


@dataclass(slots=True)
class Figures:
    """What a rule made of a week.

    Attributes:
        pods: that came.
        confined: of these, pods that one socket was given to.
        gaps: points between the busiest and the idlest socket, a sample a node.
        hot: samples with a socket over ``HOT`` and another ``APART`` points below it.
        peaks: busiest socket of each sample.
        moves: made.
        bytes_moved: by these.
    """

    pods: int = 0
    confined: int = 0
    gaps: list[float] = field(default_factory=list)
    hot: int = 0
    peaks: list[float] = field(default_factory=list)
    moves: int = 0
    bytes_moved: int = 0


def lives(chance: random.Random) -> Iterator[tuple[int, Life]]:
    """The pods of a node with the step at which each comes."""
    minute = 0.0
    while True:
        minute += chance.expovariate(1 / 4)
        step = int(minute // STEP)
        if step >= STEPS:
            return
        cpu = chance.choices([500, 1000, 2000, 4000, 8000], [30, 30, 22, 13, 5])[0]
        memory = cpu * chance.choice([1, 2, 4, 8]) * GIB // 1000
        short = chance.random() < 0.6
        lasts = chance.lognormvariate(math.log(20 if short else 2 * 24 * 60), 1.0)
        guaranteed = chance.random() < 0.3 and cpu >= 1000
        yield (
            step,
            Life(
                Asked(Requests(cpu, memory), guaranteed),
                step + max(1, round(lasts / STEP)),
                chance.uniform(0.3, 1.3),
                chance.uniform(0, 2 * math.pi),
                round(memory * chance.uniform(0.6, 1.0)),
            ),
        )


MADE_UP: Final = Scene(4, 32, 128 * GIB, lambda node: list(lives(random.Random(f"{SEED} {node}"))))


def loads(pods: Sequence[Life], step: int, cpus: int) -> list[float]:
    """Percent of each socket's CPUs in use."""
    used = [0.0] * SOCKETS
    for pod in pods:
        for socket in pod.where:
            used[socket] += pod.use(step) / len(pod.where)
    # What is wanted beyond all CPUs of a socket waits; it is not used.
    return [min(100.0, 100 * u / (1000 * cpus)) for u in used]


def bound(pods: Sequence[Life], new: Life, scene: Scene) -> bool:
    """Whether a scheduler would put the pod on the node."""
    every = [p.asked.requests for p in (*pods, new)]
    return (
        sum(r.cpu_millis for r in every) <= BOUND * SOCKETS * scene.cpus * 1000
        and sum(r.memory_bytes for r in every) <= BOUND * SOCKETS * scene.memory
    )


class Ours:
    """A node under this planner."""

    def __init__(self, name: str, scene: Scene) -> None:
        self.scene = scene
        self.moving = name.endswith("with moves")
        self.choice = policy("Pack" if "Pack" in name else "Spread", AUTO)
        self.node = machine(SOCKETS, cpus=scene.cpus, memory=scene.memory)
        self.busy_since: dict[Busy, int] = {}

    def now(self, pods: Sequence[Life], step: int) -> Node:
        """The node with what its agent would report."""
        held = [0] * SOCKETS
        for pod in pods:
            for socket in pod.where:
                held[socket] += pod.resident // len(pod.where)
        used = loads(pods, step, self.scene.cpus)
        return replace(
            self.node,
            busy={i: round(u * 10 * self.scene.cpus) for i, u in enumerate(used)},
            available={i: max(0, self.scene.memory - h) for i, h in enumerate(held)},
        )

    def place(self, pods: Sequence[Life], new: Life, step: int) -> Sockets:
        """Where a new pod goes; everywhere without room."""
        pins = [Pinned(Spot(p.where[0]), p.asked.requests) for p in pods if p.placed]
        found = plan(self.now(pods, step), pins, Candidate(new.asked.requests), self.choice)
        return (found.socket,) if isinstance(found, Placement) else tuple(range(SOCKETS))

    def rebalance(self, pods: Sequence[Life], step: int, figures: Figures) -> None:
        """One move, if one is worth it."""
        node, by_name = self.now(pods, step), {f"{i:05}": p for i, p in enumerate(pods)}
        pinned: list[Tenant] = []
        waiting: list[Tenant] = []
        for name, pod in by_name.items():
            spot = Spot(pod.where[0]) if pod.placed else None
            resident = {pod.where[0]: pod.resident} if pod.placed else {}
            candidate = Candidate(pod.asked.requests, resident=resident, current=spot)
            rested = step - pod.moved >= COOLDOWN
            one = Tenant(name, candidate, self.choice, round(pod.use(step)), movable=rested)
            (pinned if pod.placed else waiting).append(one)
        busy = too_busy(node, pinned)
        self.busy_since = {s: self.busy_since.get(s, step) for s in busy}
        hot = frozenset(s for s, since in self.busy_since.items() if step - since >= HOLD)
        for one in waiting:
            pins = [t.pinned(t.pod.current) for t in pinned if t.pod.current is not None]
            found = plan(node, pins, one.pod, self.choice)
            if isinstance(found, Placement):
                by_name[one.name].where, by_name[one.name].placed = (found.socket,), True
                return
        if not hot and not waiting:
            return
        moves = rebalance(node, pinned, Usage(hot=hot, waiting=tuple(waiting)), Bounds())
        if moves:
            first = by_name[moves[0].name]
            first.where, first.moved = (moves[0].to_socket,), step
            figures.moves += 1
            figures.bytes_moved += first.resident


def _free(pods: Sequence[Life], scene: Scene, *, exclusive: bool) -> list[Free]:
    found = []
    for socket in range(SOCKETS):
        mine = [(p, len(p.where)) for p in pods if socket in p.where]
        own = [(p, n) for p, n in mine if p.placed]
        found.append(
            Free(
                cpu=1000 * scene.cpus - sum(p.asked.requests.cpu_millis // n for p, n in own),
                memory=scene.memory - sum(p.asked.requests.memory_bytes // n for p, n in own),
                whole=scene.cpus
                - (
                    sum(-(-p.asked.requests.cpu_millis // 1000) // n for p, n in own)
                    if exclusive
                    else 0
                ),
                pods=len(own),
            )
        )
    return found


def run(rule: str, scene: Scene = MADE_UP) -> tuple[str, Figures]:
    """A week of all nodes under a rule.

    Args:
        rule: one of ``rivals.RULES``.
        scene: what happens.
    """
    figures = Figures()
    for node in range(scene.nodes):
        chance = random.Random(f"{SEED} {node} choice")
        pods: list[Life] = []
        ours = Ours(rule, scene) if rule in OURS else None
        coming = scene.coming(node)
        coming.reverse()
        for step in range(STEPS):
            pods = [p for p in pods if p.until > step]
            while coming and coming[-1][0] == step:
                new = coming.pop()[1]
                if not bound(pods, new, scene):
                    continue
                if ours is not None:
                    new.where = ours.place(pods, new, step)
                else:
                    free = _free(pods, scene, exclusive=rule in EXCLUSIVE)
                    new.where = RIVALS[rule](new.asked, free, chance)
                new.placed = len(new.where) == 1
                pods.append(new)
                figures.pods += 1
                figures.confined += new.placed
            if ours is not None and ours.moving:
                ours.rebalance(pods, step, figures)
            _sample(figures, loads(pods, step, scene.cpus))
    return rule, figures


def _sample(figures: Figures, used: Sequence[float]) -> None:
    high, low = max(used), min(used)
    figures.gaps.append(high - low)
    figures.peaks.append(high)
    figures.hot += high >= HOT and high - low >= APART


def _percentile(values: Sequence[float], percent: int) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def rows(week: tuple[str, Figures], nodes: int = MADE_UP.nodes) -> Iterator[Row]:
    """A rule's figures."""
    rule, found = week
    days = nodes * 7
    yield Row(f"{rule}: pods on one socket", 100 * found.confined / found.pods, "%")
    yield Row(f"{rule}: gap between sockets, mean", sum(found.gaps) / len(found.gaps), "points")
    yield Row(f"{rule}: gap between sockets, p95", _percentile(found.gaps, 95), "points")
    yield Row(f"{rule}: busiest socket, p95", _percentile(found.peaks, 95), "%")
    yield Row(
        f"{rule}: time with a socket over {HOT:.0f} % and another {APART:.0f} points below",
        100 * found.hot / len(found.gaps),
        "%",
    )
    yield Row(f"{rule}: moves", found.moves / days, "a node and day")
    yield Row(f"{rule}: memory moved", found.bytes_moved / GIB / days, "GiB a node and day")
