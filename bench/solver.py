"""What is possible at best, by OR-tools' CP-SAT: an exact solver that knows all pods beforehand.

Sockets are vectors of CPU and memory; a pod is wholly on one. One worker and a fixed seed, so
that the same instance gives the same answer.
"""

from collections.abc import Sequence

from ortools.sat.python import cp_model

from numapin_operator.requests import Requests

_UNIT = 1 << 20


class UnsolvedError(Exception):
    """The solver proved no optimum within its limit."""


def _solved(model: cp_model.CpModel) -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = 60
    if solver.solve(model) != cp_model.OPTIMAL:
        raise UnsolvedError("no optimum was proven")
    return solver


def _parts(pods: Sequence[Requests]) -> list[tuple[list[int], int]]:
    """Each resource: what each pod takes, in units that the solver can add up."""
    return [
        ([p.cpu_millis for p in pods], 0),
        ([-(-p.memory_bytes // _UNIT) for p in pods], 1),
    ]


def most_placed(pods: Sequence[Requests], capacities: Sequence[tuple[int, int]]) -> int:
    """The most pods that sockets hold.

    Args:
        pods: what they ask for.
        capacities: millicores and bytes of each socket.

    Raises:
        UnsolvedError: not proven within the limit.
    """
    model = cp_model.CpModel()
    at = [[model.new_bool_var("") for _ in capacities] for _ in pods]
    for row in at:
        model.add_at_most_one(row)
    _once(model, at, capacities)
    for sizes, part in _parts(pods):
        for s, has in enumerate(capacities):
            room = has[part] // (_UNIT if part else 1)
            model.add(sum(n * row[s] for n, row in zip(sizes, at, strict=True)) <= room)
    model.maximize(sum(x for row in at for x in row))
    return round(_solved(model).objective_value)


def lowest_peak(pods: Sequence[Requests], capacities: Sequence[tuple[int, int]]) -> int:
    """The lowest that the busiest socket can be, all pods placed: thousandths of it.

    Args:
        pods: what they ask for.
        capacities: millicores and bytes of each socket.

    Raises:
        UnsolvedError: not proven within the limit.
    """
    model = cp_model.CpModel()
    at = [[model.new_bool_var("") for _ in capacities] for _ in pods]
    # Never below the mean, which is mostly the hard half of a proof.
    mean = max(
        -(-1000 * sum(sizes) // sum(has[part] // (_UNIT if part else 1) for has in capacities))
        for sizes, part in _parts(pods)
    )
    peak = model.new_int_var(min(mean, 1000), 1000, "peak")
    for row in at:
        model.add_exactly_one(row)
    _once(model, at, capacities)
    _below(model, at, pods, capacities, peak)
    model.minimize(peak)
    return round(_solved(model).objective_value)


def fewest_moves(
    pods: Sequence[Requests],
    capacities: Sequence[tuple[int, int]],
    *,
    now: Sequence[int],
    peak: int,
) -> int:
    """The fewest pods that must be elsewhere for the busiest socket to be no busier than that.

    In whatever order, and whether or not there is room for each on the way: at most what
    moves one by one take.

    Args:
        pods: what they ask for.
        capacities: millicores and bytes of each socket.
        now: the socket of each.
        peak: thousandths of a socket.

    Raises:
        UnsolvedError: not proven within the limit.
    """
    model = cp_model.CpModel()
    at = [[model.new_bool_var("") for _ in capacities] for _ in pods]
    for row, s in zip(at, now, strict=True):
        model.add_exactly_one(row)
        model.add_hint(row[s], 1)
    _below(model, at, pods, capacities, peak)
    model.minimize(sum(1 - row[s] for row, s in zip(at, now, strict=True)))
    return round(_solved(model).objective_value)


def _below(
    model: cp_model.CpModel,
    at: list[list[cp_model.IntVar]],
    pods: Sequence[Requests],
    capacities: Sequence[tuple[int, int]],
    peak: cp_model.IntVar | int,
) -> None:
    for sizes, part in _parts(pods):
        for s, has in enumerate(capacities):
            room = has[part] // (_UNIT if part else 1)
            taken = sum(n * row[s] for n, row in zip(sizes, at, strict=True))
            model.add(1000 * taken <= peak * room)


def _once(
    model: cp_model.CpModel,
    at: list[list[cp_model.IntVar]],
    capacities: Sequence[tuple[int, int]],
) -> None:
    """Leave out what differs by the numbers of equal sockets alone: most of the search.

    Sockets can be numbered by their first pod, so that the pod of index i is on one of the first
    i + 1.
    """
    if len(set(capacities)) == 1:
        for i, row in enumerate(at):
            for one in row[i + 1 :]:
                model.add(one == 0)
