"""``numapin plan``: what is read, decided and printed, and that it is what the operator does."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.manifests import GIB, node, pin, pod, policy
from support.operator_parts import Parts


@pytest.fixture
def plan(numapin, tmp_path: Path):
    """Plan some objects; the answer as data."""

    def call(*objects: dict[str, Any], options: tuple[str, ...] = ()) -> dict[str, Any]:
        file = tmp_path / "objects.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        run = numapin("plan", "-f", file, "-o", "json", *options)
        assert run.status == 0, run.err
        found: dict[str, Any] = json.loads(run.out)
        return found

    return call


def sockets(found: dict[str, Any]) -> dict[str, int]:
    return {p["name"]: p["socket"] for p in found["pins"]}


def test_pods_are_decided_in_order(plan):
    found = plan(node(), pod("a", "3"), pod("b", "2"), pod("c", "2"), pod("d", "2"))
    assert sockets(found) == {"a": 0, "b": 1, "c": 1}
    assert (
        found["pins"][0].items()
        >= {
            "namespace": "default",
            "name": "a",
            "node": "n1",
            "socket": 0,
            "cpus": "0-3",
            "mems": "0",
            "memory": "Strict",
            "policy": "(default)",
        }.items()
    )
    (refused,) = found["unplaceable"]
    assert (refused["namespace"], refused["name"], refused["reason"]) == ("default", "d", "NoRoom")
    assert "no socket of node n1 has room for 2 CPU" in refused["message"]
    assert "moves" not in found


def test_limits_alone_are_asked_for_as_the_api_server_would_have_it(plan):
    objects = [pod(n, resources={"limits": {"cpu": "3"}}) for n in "abc"]
    found = plan(node(), *objects)
    assert sockets(found) == {"a": 0, "b": 1}
    assert [u["name"] for u in found["unplaceable"]] == ["c"]


def test_pins_that_exist_hold_their_room_whatever_the_order(plan):
    found = plan(pod("a", "3"), pod("b", "3"), pin("b", 0), node())
    assert sockets(found) == {"a": 1, "b": 0}


def test_a_pin_of_an_earlier_pod_of_that_name_holds_nothing(plan):
    old, new = pin("a", 1, uid="earlier"), pod("a", metadata={"uid": "later"})
    assert sockets(plan(node(), new, old)) == {"a": 0}


def test_policies_and_annotations_apply(plan):
    asked = {"annotations": {"numapin.io/socket": "1"}}
    wrong = {"annotations": {"numapin.io/socket": "7"}}
    found = plan(
        node(),
        policy("loose", memory="None", placement={"strategy": "Pack"}),
        pod("a", metadata=asked),
        pod("b"),
        pod("c", metadata=wrong),
    )
    assert sockets(found) == {"a": 1, "b": 1}
    assert [(p["mems"], p["memory"], p["policy"]) for p in found["pins"]] == [
        (None, "None", "loose")
    ] * 2
    assert [u["reason"] for u in found["unplaceable"]] == ["InvalidAnnotation"]


def test_namespace_labels_count(plan):
    shop = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"t": "x"}},
    }
    found = plan(
        node(),
        shop,
        policy("p", namespaceSelector={"matchLabels": {"t": "x"}}),
        pod("a", metadata={"namespace": "shop"}),
        pod("a"),
    )
    assert {p["namespace"]: p["policy"] for p in found["pins"]} == {
        "shop": "p",
        "default": "(default)",
    }


def test_pods_that_are_not_meant_are_left_out(plan, numapin, tmp_path: Path):
    gone = pod("done") | {"status": {"phase": "Succeeded"}}
    later = pod("later")
    del later["spec"]["nodeName"]
    found = plan(node(), pod("plain", metadata={"labels": {}}), gone, later)
    assert found["pins"] == []
    assert [(u["name"], u["reason"]) for u in found["unplaceable"]] == [("later", "NotScheduled")]


def test_a_node_that_nobody_describes(plan):
    found = plan(pod("a"))
    assert [(u["name"], u["reason"]) for u in found["unplaceable"]] == [("a", "NoAgent")]


def test_running_pods_without_a_pin_are_planned_by_what_they_ask_for(plan):
    assert sockets(plan(node(), pod("a") | {"status": {"phase": "Running"}})) == {"a": 0}


def test_devices_that_the_node_reports(plan):
    held = [{"namespace": "default", "name": "a", "numaNodes": [1]}]
    gpu = {"limits": {"example.com/gpu": "1"}, "requests": {"cpu": "1"}}
    found = plan(node(devices=held), pod("a", resources=gpu), pod("b", resources=gpu))
    assert sockets(found) == {"a": 1, "b": 0}


def test_a_pod_split_over_sockets_says_so(plan):
    found = plan(node(), policy("p", placement={"onUnplaceable": "Split"}), pod("big", "6"))
    (only,) = found["pins"]
    assert (only["socket"], only["sockets"], only["cpus"], only["mems"]) == (
        0,
        [0, 1],
        "0-7",
        "0-1",
    )


def test_rebalance_makes_room_for_a_pod_that_has_none(plan):
    objects = [node(), pod("a", "2", "2Gi"), pod("b", "2"), pod("c", "3")]
    found = plan(*objects, options=("--rebalance",))
    (move,) = found["moves"]
    assert (
        move.items()
        >= {
            "namespace": "default",
            "name": "b",
            "from": 1,
            "to": 0,
            "bytes": GIB,
            "gain": 75.0,
            "reason": "PodWaiting",
        }.items()
    )
    assert "default/c" in move["message"]
    assert list(move)[:4] == ["namespace", "name", "from", "to"]


def test_rebalance_of_a_busy_socket_goes_by_real_use(plan):
    usage = {"sockets": [{"id": 0, "cpuMillicores": 3900}, {"id": 1, "cpuMillicores": 100}]}
    found = plan(
        node(usage=usage),
        pod("a"),
        pod("b"),
        pin("a", 0),
        pin("b", 0),
        options=("--rebalance",),
    )
    assert [(m["name"], m["from"], m["to"], m["reason"]) for m in found["moves"]] == [
        ("a", 0, 1, "SocketBusy")
    ]


def test_nothing_to_move_is_an_answer(plan):
    assert plan(node(), pod("a"), options=("--rebalance",))["moves"] == []


def test_explain_gives_the_scores_of_every_socket(plan):
    found = plan(node(), pod("a", "4"), pod("b", "1"), pod("c", "4"), options=("--explain",))
    first, second = found["pins"][1]["explain"]
    assert first["obstacle"].startswith("no room for its CPU")
    assert (second["place"], second["cpuPercent"], second["memoryPercent"], second["obstacle"]) == (
        "socket 1",
        25.0,
        12.5,
        "",
    )
    assert all(w["obstacle"] for w in found["unplaceable"][0]["explain"])


@pytest.mark.parametrize("form", ["documents", "list", "json", "typed", "stream", "lines", "array"])
def test_the_same_from_every_form_of_file(numapin, tmp_path: Path, form: str):
    objects = [node(), pod("a"), {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}]
    whole: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": objects}
    file = tmp_path / "f"
    if form == "documents":
        file.write_text("---\n" + yaml.safe_dump_all([*objects, None]))
    elif form == "typed":
        bare = {k: v for k, v in pod("a").items() if k not in {"kind", "apiVersion"}}
        typed = {"apiVersion": "v1", "kind": "PodList", "items": [bare]}
        file.write_text(yaml.safe_dump_all([node(), typed]))
    elif form in {"stream", "lines"}:
        file.write_text(("" if form == "stream" else "\n").join(map(json.dumps, objects)) + "\n")
    elif form == "array":
        file.write_text(json.dumps(objects))
    else:
        file.write_text(json.dumps(whole, indent="\t") if form == "json" else yaml.safe_dump(whole))
    run = numapin("plan", "-f", file, "-o", "json")
    assert (run.status, sockets(json.loads(run.out))) == (0, {"a": 0})


def test_several_files_and_standard_input(numapin, tmp_path: Path, monkeypatch):
    (tmp_path / "n").write_text(yaml.safe_dump(node()))
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(pod("a"))))
    run = numapin("plan", "-f", tmp_path / "n", "-f", "-", "-o", "yaml")
    assert sockets(yaml.safe_load(run.out)) == {"a": 0}


def test_pins_of_pods_that_are_not_given_are_told_of(numapin, tmp_path: Path):
    (tmp_path / "f").write_text(
        yaml.safe_dump_all(
            [
                node(),
                pod("a"),
                pin("a", 1),
                pin("b", 0),
                pin("c", 0),
                pod("c", metadata={"uid": "x"}),
            ]
        )
    )
    run = numapin("plan", "-f", tmp_path / "f", "-o", "json")
    assert (
        "NumaPins take no room without the labelled Pod that they are of: default/b, default/c"
        in (run.err)
    )
    assert sockets(json.loads(run.out))["a"] == 1


def test_the_same_object_in_two_files_is_one(numapin, tmp_path: Path):
    for name in ("f", "g"):
        (tmp_path / name).write_text(yaml.safe_dump_all([node(), pod("a", "3")]))
    run = numapin("plan", "-f", tmp_path / "f", "-f", tmp_path / "g", "-o", "json")
    assert sockets(json.loads(run.out)) == {"a": 0}


def test_two_objects_of_one_name_are_refused_with_both_files(numapin, tmp_path: Path):
    (tmp_path / "f").write_text(yaml.safe_dump(pod("a", "1")))
    (tmp_path / "g").write_text(yaml.safe_dump(pod("a", "2")))
    run = numapin("plan", "-f", tmp_path / "f", "-f", tmp_path / "g")
    assert run.status == 1
    assert f"{tmp_path / 'g'}: Pod default/a: metadata.name: 'a': another" in run.err
    assert f"in {tmp_path / 'f'}" in run.err


def test_what_a_later_agent_wrote_is_passed_over_and_told_of(numapin, tmp_path: Path):
    (tmp_path / "f").write_text(yaml.safe_dump_all([node(reservedCpu="0"), pod("a", "4")]))
    run = numapin("plan", "-f", tmp_path / "f", "-o", "json")
    assert "f: NumaNode n1: status.reservedCpu: '0': no such field is known; there are" in run.err
    assert "it is passed over" in run.err
    assert sockets(json.loads(run.out)) == {"a": 0}


def test_files_and_a_cluster_are_not_both_meant(numapin, tmp_path: Path):
    run = numapin("plan", "-f", "x", "--context", "c")
    assert run.status == 2
    assert "--context and -f can't be combined" in run.err
    assert numapin("plan", "-f", tmp_path / "missing").status == 1


def test_people_see_tables(numapin, tmp_path: Path):
    (tmp_path / "f").write_text(
        yaml.safe_dump_all([node(), pod("a", "2"), pod("b", "2"), pod("c", "3")])
    )
    run = numapin("plan", "-f", tmp_path / "f", "--rebalance", "--explain")
    assert run.status == 0
    assert "default/a  n1    0       0-3   0     Strict  (default)" in run.out
    assert "default/c  NoRoom  no socket of node n1 has room" in run.out
    assert "default/a  0     1   1.0 GiB  75.0 %  PodWaiting" in run.out
    assert "→ socket 0" in run.out
    (tmp_path / "g").write_text(yaml.safe_dump(node()))
    assert "no pod asks to be pinned" in numapin("plan", "-f", tmp_path / "g").out


def test_it_is_what_the_operator_decides(plan):
    """The same objects, through the operator's own loop."""
    sizes = [("900m", "1Gi"), ("1500m", "512Mi"), ("100m", "2Gi"), ("2", "1Gi"), ("1", "1Gi")]
    parts = Parts()
    parts.node("n1", node()["status"])
    parts.start()
    for i, (cpu, memory) in enumerate(sizes):
        obj = pod(f"p{i}", cpu, memory)
        obj["metadata"] |= {"uid": f"u{i}", "namespace": "default"}
        parts.tell("pods", obj)
        parts.settle(5)
    found = plan(node(), *(pod(f"p{i}", c, m) for i, (c, m) in enumerate(sizes)))
    assert sockets(found) == {k: v for k, v in parts.sockets().items() if v is not None}
