"""That all pins can be served at once is decided exactly, whatever they cover."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from support.machines import SNC
from support.planning import node

from numapin_operator.placement.room import CPU, Room, numa_nodes, sockets, whole
from numapin_operator.placement.values import Pinned, Spot
from numapin_operator.requests import Requests

SPOTS = [
    Spot(0, 0), Spot(0, 1), Spot(1, 2), Spot(1, 3),
    Spot(0), Spot(1), Spot(0, also=(1,)),
]  # fmt: skip


def served(room: Room, pins: list[Pinned]) -> bool:
    """Hall's condition over all sets of cells: the definition, by brute force."""
    everything = range(len(room.cells.all))
    for number in range(1, len(room.cells.all) + 1):
        for chosen in combinations(everything, number):
            mask = sum(1 << i for i in chosen)
            inside = [p for p in pins if not room.cells.covered(p.spot) & ~mask]
            if sum(p.requests.cpu_millis for p in inside) > room.capacity(mask, CPU):
                return False
    return True


pinned = st.builds(Pinned, st.sampled_from(SPOTS), st.builds(Requests, st.integers(0, 3000)))


@given(st.lists(pinned, max_size=10), pinned)
def test_a_pin_fits_exactly_when_all_can_be_served(wanted: list[Pinned], last: Pinned):
    where = node(SNC)
    taken: list[Pinned] = []
    for pin in wanted:
        if served(Room(where, []), [*taken, pin]):
            taken.append(pin)
    room = Room(where, taken)
    mask = room.cells.covered(last.spot)
    fits = last.requests.cpu_millis <= room.left(mask, CPU)
    assert fits == served(room, [*taken, last])


@given(st.lists(pinned, max_size=8), pinned)
def test_what_comes_and_goes_leaves_nothing(wanted: list[Pinned], other: Pinned):
    room, same = Room(node(SNC), wanted), Room(node(SNC), wanted)
    room.put(other.spot, other.requests)
    room.put(other.spot, other.requests, sign=-1)
    for place in (*sockets(room), *numa_nodes(room)):
        assert room.left(place.mask, CPU) == same.left(place.mask, CPU)
        assert room.weight(place.mask) == same.weight(place.mask)


def test_a_socket_without_cpus_for_pods_is_no_place():
    room = Room(node(SNC, reserved="0-3"), [])
    assert [p.socket for p in sockets(room)] == [1]
    assert whole(room, [0, 1]) is None
    # Pins that were there take nothing from the others.
    assert (
        Room(node(SNC, reserved="0-3"), [Pinned(Spot(0), Requests(9000))]).left(
            sockets(room)[0].mask, CPU
        )
        == 4000
    )
