"""Small nodes and pods for comparing the planner with an exact solver, from stated distributions.

Pods of an instance are such as a scheduler would bind to the node: what they ask for together
is never more than all sockets have. Whatever the sockets can't hold is then lost to their
walls alone, which is what a planner can be better or worse at.

``uniform``: CPU 0.1 to 0.6 of a socket, memory 0.05 to 0.6, independent, uniform.
``cloud``: CPUs 1, 2, 4, 8 with weights 46, 30, 16, 8 (most machines of a public cloud are small:
Cortez et al., SOSP 2017, figure 4 gives about 80 % with one or two cores), memory 2, 4 or 8 GiB a
CPU, sockets of 16 CPUs and 64 GiB.
``halves``: just over and just under a half and a third of a socket, in bad order: small ones
first. What is known to be worst for best fit.
``churn``: ``cloud``, of which half have gone again, at random, before others came.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.policy import Rebalance, Strategy, Verification
from numapin_api.topology import NumaNode, Socket, Topology
from numapin_operator.placement.values import Node
from numapin_operator.requests import Requests
from numapin_operator.select import Choice

GIB: Final = 1 << 30
FAMILIES: Final = ("uniform", "cloud", "halves", "churn")
CPUS: Final = 16
MEMORY: Final = 64 * GIB
LOADS: Final = (0.7, 0.85, 0.95, 1.0)
MOST_PODS: Final = 14


@dataclass(frozen=True, slots=True)
class Instance:
    """A node and pods in the order in which they come.

    Attributes:
        family: what they are drawn from.
        sockets: how many the node has.
        pods: what each asks for.
        gone: indices of those that go again, each after the pod of index ``after``.
        after: when they go.
    """

    family: str
    sockets: int
    pods: tuple[Requests, ...]
    gone: frozenset[int] = frozenset()
    after: int = 0


def machine(sockets: int, *, cpus: int = CPUS, memory: int = MEMORY) -> Node:
    """A node of equal sockets with one NUMA node each."""
    sets = [CpuSet(range(i * cpus, (i + 1) * cpus)) for i in range(sockets)]
    return Node(
        "bench",
        Topology(
            tuple(Socket(i, s, NodeSet([i])) for i, s in enumerate(sets)),
            tuple(NumaNode(i, s, memory, i) for i, s in enumerate(sets)),
            (),
        ),
    )


def policy(strategy: Strategy, rebalance: Rebalance) -> Choice:
    """A policy that keeps no headroom, so that the solver's capacity is the planner's."""
    return Choice(
        policy="bench",
        mode="Enforce",
        granularity="Socket",
        strategy=strategy,
        on_unplaceable="Skip",
        memory="Strict",
        headroom_percent=0,
        verification=Verification(),
        rebalance=rebalance,
    )


def _size(family: str, chance: random.Random, index: int) -> Requests:
    if family == "uniform":
        cpu = round(chance.uniform(0.1, 0.6) * CPUS * 1000)
        return Requests(cpu, round(chance.uniform(0.05, 0.6) * MEMORY))
    if family == "halves":
        # Seven of a bit more than a third or less than a half, then those that need the halves.
        part = chance.choice([0.17, 0.26, 0.34]) if index < 5 else chance.choice([0.34, 0.51, 0.66])
        share = part + chance.uniform(-0.01, 0.01)
        return Requests(round(share * CPUS * 1000), round(share * MEMORY * 0.8))
    cpus = chance.choices([1, 2, 4, 8], [46, 30, 16, 8])[0]
    return Requests(cpus * 1000, cpus * chance.choice([2, 4, 8]) * GIB)


def _pods(
    family: str, chance: random.Random, *, cpu: float, memory: float, most: int
) -> list[Requests]:
    """Pods until the next one would not be bound to the node any more, or there are enough."""
    made: list[Requests] = []
    missed = 0
    while len(made) < most and missed < 8:
        one = _size(family, chance, len(made))
        if one.cpu_millis > cpu or one.memory_bytes > memory:
            missed += 1
            continue
        cpu, memory = cpu - one.cpu_millis, memory - one.memory_bytes
        made.append(one)
    return made


def instances(number: int, *, seed: int) -> Iterator[Instance]:
    """Instances of all families, sizes and loads in turn.

    Args:
        number: how many.
        seed: the same seed gives the same instances.
    """
    chance = random.Random(seed)
    for i in range(number):
        family, sockets = FAMILIES[i % len(FAMILIES)], (2, 2, 3, 4)[i // len(FAMILIES) % 4]
        load = LOADS[i // 16 % len(LOADS)]
        cpu, memory = load * sockets * CPUS * 1000, load * sockets * MEMORY
        pods = _pods(
            family.replace("churn", "cloud"), chance, cpu=cpu, memory=memory, most=MOST_PODS
        )
        if family != "churn":
            yield Instance(family, sockets, tuple(pods))
            continue
        gone = frozenset(chance.sample(range(len(pods)), len(pods) // 2))
        stay = [p for j, p in enumerate(pods) if j not in gone]
        cpu -= sum(p.cpu_millis for p in stay)
        memory -= sum(p.memory_bytes for p in stay)
        more = _pods("cloud", chance, cpu=cpu, memory=memory, most=MOST_PODS - len(stay))
        yield Instance(family, sockets, (*pods, *more), gone, len(pods))
