"""A node through its life: pods come, go, grow, restart, are moved; CPUs come and go.

After every step no place is promised more than it has. Only where pods grew, policies changed
or CPUs went under pins that were there it may be, and then no pod on it fits elsewhere. No pin
has a reserved CPU, and planning anew what is there changes nothing, in whatever order it is
looked at; where more is asked for than there is, that is a question about all pods there. After a
resize the same pods have moved, whoever was looked at first. A pod that comes drives nobody from
its socket, and goes where its memory fits if it does anywhere.
"""

import random
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from support.machines import GIB, SNC, machine
from support.planning import policy

from numapin_api.cpulist import CpuSet
from numapin_api.policy import Rebalance
from numapin_api.topology import Topology
from numapin_operator.placement.crowd import Crowd, plan_among
from numapin_operator.placement.plan import plan
from numapin_operator.placement.rebalance import Bounds, Usage, rebalance
from numapin_operator.placement.room import CPU, MEMORY, Room, sockets
from numapin_operator.placement.state import Tenant, carry_out
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Unplaceable
from numapin_operator.requests import Requests
from numapin_operator.select import Choice

FOUR_NODES = SNC
AUTO = Rebalance(mode="Auto", threshold="60%", min_gain="5%")
choices = st.builds(
    policy,
    st.sampled_from(["Spread", "Pack", "FollowMemory"]),
    granularity=st.sampled_from(["Socket", "Socket", "Socket", "NumaNode"]),
    on_unplaceable=st.sampled_from(["Skip", "CpuOnly", "Split"]),
    memory=st.sampled_from(["Strict", "Preferred", "None"]),
    spread_replicas=st.booleans(),
    colocate=st.none() | st.just("app"),
    headroom_percent=st.sampled_from([0, 10]),
    rebalance=st.just(AUTO),
)
sizes = st.builds(
    Requests, st.integers(0, 5000), st.integers(0, 12).map(lambda halves: halves * GIB // 2)
)


def without(topology: Topology, cpus: CpuSet) -> Topology:
    """The machine with CPUs offline."""
    return Topology(
        tuple(replace(s, cpus=CpuSet(s.cpus - cpus)) for s in topology.sockets if s.cpus - cpus),
        tuple(replace(n, cpus=CpuSet(n.cpus - cpus)) for n in topology.nodes),
        topology.distances,
    )


class Life(RuleBasedStateMachine):
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.whole = machine(FOUR_NODES)
        self.node = Node("n", self.whole)
        self.pods: dict[str, tuple[Candidate, Choice]] = {}
        self.kept = False
        self.serial = 0

    def pins(self, but: str = "") -> list[Pinned]:
        return [
            Pinned(p.current, p.requests, p.workload, p.namespace, p.labels)
            for n, (p, _) in self.pods.items()
            if n != but and p.current is not None
        ]

    def decided(self, name: str, *, backwards: bool = False) -> Placement | Unplaceable:
        """What the operator would say of a pod now, the others in either order."""
        pod, choice = self.pods[name]
        turn = -1 if backwards else 1
        others = [Tenant(n, p, c) for n, (p, c) in self.pods.items() if n != name and p.current]
        me, crowd = Tenant(name, pod, choice), Crowd(others[::turn])
        found, _ = plan_among(self.node, self.pins(name)[::turn], me, lambda: crowd)
        return found

    def look(self, name: str) -> Placement | Unplaceable:
        pod, choice = self.pods[name]
        found = self.decided(name)
        current = found.spot if isinstance(found, Placement) else None
        self.pods[name] = replace(pod, current=current), choice
        return found

    def settle(self, chance: random.Random | None = None) -> None:
        """Look at all pods, as the operator does within minutes, until nothing changes.

        Args:
            chance: in an order by chance, and only at pods that have a place: those that wait
                get one in the order in which they are looked at, which the operator's is by age.
        """
        for _ in range(2 * len(self.pods) + 1):
            before = dict(self.pods)
            order = sorted(self.pods)
            if chance is not None:
                order = [name for name in order if self.pods[name][0].current]
                chance.shuffle(order)
            for name in order:
                self.look(name)
            if self.pods == before:
                return
        raise AssertionError(f"pods go round in circles: {self.pods}")

    @rule(target=names, size=sizes, choice=choices, app=st.sampled_from("ab"))
    def comes(self, size: Requests, choice: Choice, app: str) -> str:
        self.serial += 1
        name = f"p{self.serial:03}"
        pod = Candidate(size, workload=app, namespace="ns", labels={"app": app})
        before = self.sockets()
        self.pods[name] = pod, choice
        found = self.look(name)
        if isinstance(found, Placement) and choice.memory == "Preferred":
            self.has_memory(name, found)
        self.settle()
        if not self.kept:
            assert {n: s for n, s in self.sockets().items() if n in before} == before
        return name

    def sockets(self) -> dict[str, tuple[int, ...]]:
        return {n: p.current.sockets for n, (p, _) in self.pods.items() if p.current}

    def has_memory(self, name: str, found: Placement) -> None:
        """It lacks memory where it was put only if it would on every socket."""
        pod, choice = self.pods[name]
        wishes = choice.spread_replicas or choice.colocate
        if choice.granularity != "Socket" or wishes or found.also:
            return
        asks, percent = pod.requests, choice.headroom_percent
        fitting = {
            place.socket
            for place in sockets(Room(self.node, self.pins(name)))
            if place.takes_cpu(asks.cpu_millis)
            and place.takes_memory(asks.memory_bytes, headroom_percent=percent)
        }
        assert not fitting or found.socket in fitting

    @rule(name=consumes(names))
    def goes(self, name: str) -> None:
        del self.pods[name]
        self.settle()

    @rule(name=names, size=sizes, chance=st.randoms(use_true_random=False))
    def is_resized(self, name: str, size: Requests, chance: random.Random) -> None:
        pod, choice = self.pods[name]
        alike = not self.kept and all(
            # One pod's narrower place, or memory that is bound again, is another's no longer.
            c.granularity == "Socket"
            and (p.current is None or p.current.memory or c.memory != "Strict")
            for p, c in self.pods.values()
        )
        self.kept = True
        self.pods[name] = replace(pod, requests=size), choice
        resized = dict(self.pods)
        self.settle(chance)
        first = self.sockets()
        if alike:
            self.pods = resized
            self.settle(chance)
            assert self.sockets() == first
        self.settle()

    @rule(name=names)
    def restarts(self, name: str) -> None:
        pod, choice = self.pods[name]
        self.pods[name] = replace(pod, current=None, resident={}), choice
        self.look(name)
        self.settle()

    @rule(name=names, choice=choices)
    def is_put_under_another_policy(self, name: str, choice: Choice) -> None:
        self.kept = True
        self.pods[name] = self.pods[name][0], choice
        self.look(name)
        self.settle()

    @rule(
        cpus=st.sets(st.integers(0, 7), max_size=5), reserved=st.sets(st.integers(0, 7), max_size=3)
    )
    def cpus_change(self, cpus: set[int], reserved: set[int]) -> None:
        self.kept = True
        self.node = replace(
            self.node, topology=without(self.whole, CpuSet(cpus)), reserved=CpuSet(reserved)
        )
        self.settle()

    @rule()
    def is_rebalanced(self) -> None:
        held = [
            Tenant(n, p, c) for n, (p, c) in self.pods.items() if p.current and p.current.memory
        ]
        others = [
            Tenant(n, p, c, movable=False)
            for n, (p, c) in self.pods.items()
            if p.current and not p.current.memory
        ]
        found = rebalance(self.node, [*held, *others], Usage(), Bounds(most_moves=2))
        moves = [(m.name, m.to_socket) for m in found]
        _, after = carry_out(self.node, [*held, *others], moves)
        for tenant in after:
            pod, choice = self.pods[tenant.name]
            self.pods[tenant.name] = replace(pod, current=tenant.pod.current), choice
        self.settle()

    @invariant()
    def nothing_is_promised_twice(self) -> None:
        room = Room(self.node, self.pins())
        # Preferred binds memory that it lets go of in time: only Strict promises it.
        strict = Room(
            self.node,
            [
                Pinned(p.current, p.requests)
                for p, c in self.pods.values()
                if p.current and p.current.memory and c.memory == "Strict"
            ],
        )
        every = [p.mask for p in sockets(room)]
        full = any(
            room.taken(mask, CPU) > room.capacity(mask, CPU)
            or strict.taken(mask, MEMORY) > room.capacity(mask, MEMORY)
            for mask in (*every, sum(every), *(1 << i for i in range(len(room.cells.all))))
        )
        assert self.kept or not full
        self.kept = full

    @invariant()
    def no_pod_is_kept_where_it_can_not_have_what_it_asks_for(self) -> None:
        room = Room(self.node, self.pins())
        for pod, choice in self.pods.values():
            if pod.current is None:
                continue
            mask = room.cells.covered(pod.current)
            assert pod.requests.cpu_millis <= room.capacity(mask, CPU)
            if choice.memory == "Strict" and pod.current.memory:
                assert pod.requests.memory_bytes <= room.capacity(mask, MEMORY)

    @invariant()
    def what_is_there_is_planned_again_in_any_order(self) -> None:
        for name in sorted(self.pods, reverse=True):
            pod, choice = self.pods[name]
            if pod.current is None:
                continue
            found = self.decided(name, backwards=True)
            assert isinstance(found, Placement), found
            assert not found.cpus & self.node.reserved
            assert found.cpus
            online = {c for s in self.node.topology.sockets for c in s.cpus}
            assert set(found.cpus) <= online
            assert found.spot == pod.current
            # Where nobody asks for too much one pod is a question of its own.
            alone = plan(self.node, self.pins(name), pod, choice)
            assert isinstance(alone, Placement), alone
            assert alone.crowded or alone.spot == pod.current


Life.TestCase.settings = settings(deadline=None, max_examples=200, stateful_step_count=25)
TestLife = Life.TestCase
