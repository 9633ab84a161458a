"""The pods of a node as the search for moves sees them."""

import pytest
from support.machines import TWO, spot
from support.planning import node, policy

from numapin_api.cpulist import NodeSet
from numapin_operator.pods import Key, Pod
from numapin_operator.tenants import tenant

HELD = {("ns", "a", "u"): NodeSet([1])}


@pytest.mark.parametrize(
    ("wish", "known", "asks", "movable"),
    [
        # Nobody has said yet where they are, or nobody can: it may be here.
        ("Require", None, True, False),
        ("Require", {}, True, False),
        ("Prefer", {}, True, False),
        ("Prefer", {("ns", "a", "earlier"): NodeSet([1])}, True, False),
        ("Ignore", {}, True, True),
        ("Prefer", {}, False, True),
        # It is known: the search leaves it where it is for that.
        ("Prefer", HELD, True, True),
        # There is no hint: it may be anywhere.
        ("Require", {("ns", "a", "u"): NodeSet()}, True, True),
    ],
)
def test_a_pod_whose_devices_may_be_here_stays(wish: str, known: object, asks: bool, movable: bool):
    pod = Pod(Key("ns", "a"), "u", node="numa-0", devices=asks)
    found = tenant(pod, node(TWO, devices=known), policy(devices=wish), spot=spot("S0"))
    assert found.movable is movable
    assert found.pod.devices == (HELD["ns", "a", "u"] if known is HELD else NodeSet())
