"""An operator that meets what an operator or agent of another version has written."""

import pytest
from support.operator_parts import Parts


@pytest.mark.parametrize(
    "status",
    [
        {"observed": {"generation": 1, "phase": "Levitating"}},
        {"verdict": "Splendid"},
        {"observed": {"generation": 1, "phase": "Pinned", "invented": {"a": 1}}, "invented": 2},
    ],
)
def test_a_pin_of_a_later_version_stays_on_its_socket(status):
    parts = Parts()
    parts.node()
    parts.start()
    for name in ("a", "b", "c"):
        parts.pod(name)
    parts.settle()
    before = parts.sockets()
    assert set(before.values()) == {0, 1}
    # Without the first one a plan made anew would be another.
    parts.tell_gone("pods", ("default", "a"))
    parts.settle()
    for name in ("b", "c"):
        parts.tell("numapins", parts.cluster.pin("default", name) | {"status": status})
    specs = {name: parts.cluster.pin("default", name)["spec"] for name in ("b", "c")}
    again = parts.again()
    again.settle()
    assert {name: again.cluster.pin("default", name)["spec"] for name in ("b", "c")} == specs
    observed = status.get("observed")
    for name in ("b", "c"):
        assert again.cluster.pin("default", name)["status"].get("observed") == observed
