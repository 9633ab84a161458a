"""Directory names of pods and containers, as kubelets and runtimes write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.cgroup.names import (
    QOS_CLASSES,
    Naming,
    container_id,
    is_kubepods,
    valid_uid,
)

UID = "0c2b8caf-6b5e-4a55-9d3f-0a1b2c3d4e5f"
FLAT = "0c2b8caf_6b5e_4a55_9d3f_0a1b2c3d4e5f"
STATIC = "0123456789abcdef0123456789abcdef"
ID = "a" * 63 + "0"


@pytest.mark.parametrize(
    ("root", "qos", "uid", "qos_dir", "pod_dir"),
    [
        ("kubepods.slice", "Guaranteed", UID, "", f"kubepods-pod{FLAT}.slice"),
        (
            "kubepods.slice",
            "Burstable",
            UID,
            "kubepods-burstable.slice",
            f"kubepods-burstable-pod{FLAT}.slice",
        ),
        (
            "kubepods.slice",
            "BestEffort",
            UID,
            "kubepods-besteffort.slice",
            f"kubepods-besteffort-pod{FLAT}.slice",
        ),
        (
            "kubepods.slice",
            "Burstable",
            STATIC,
            "kubepods-burstable.slice",
            f"kubepods-burstable-pod{STATIC}.slice",
        ),
        ("kubepods", "Guaranteed", UID, "", f"pod{UID}"),
        ("kubepods", "Burstable", UID, "burstable", f"pod{UID}"),
        ("kubepods", "BestEffort", STATIC, "besteffort", f"pod{STATIC}"),
        (
            "kubelet-kubepods.slice",
            "Burstable",
            UID,
            "kubelet-kubepods-burstable.slice",
            f"kubelet-kubepods-burstable-pod{FLAT}.slice",
        ),
    ],
)
def test_kubelet_names(root, qos, uid, qos_dir, pod_dir):
    naming = Naming.of(root)
    assert naming.qos_dir(qos) == qos_dir
    assert naming.pod_dir(uid, qos) == pod_dir
    assert naming.pod_uid(pod_dir, qos) == uid


@pytest.mark.parametrize(
    ("root", "qos", "name"),
    [
        ("kubepods.slice", "Guaranteed", "kubepods-burstable.slice"),
        ("kubepods.slice", "Guaranteed", "kubepods-pod.slice"),
        ("kubepods.slice", "Guaranteed", f"kubepods-pod{UID}.slice"),
        ("kubepods.slice", "Guaranteed", f"kubepods-burstable-pod{FLAT}.slice"),
        ("kubepods.slice", "Burstable", f"kubepods-pod{FLAT}.slice"),
        ("kubepods.slice", "Guaranteed", f"kubepods-pod{FLAT}.scope"),
        ("kubepods", "Guaranteed", "burstable"),
        ("kubepods", "Guaranteed", "pod"),
        ("kubepods", "Guaranteed", "pod..%2f"),
        ("kubepods", "Guaranteed", "podabc.slice"),
        ("kubepods", "Guaranteed", "pod" + "a" * 65),
    ],
)
def test_not_a_pod(root, qos, name):
    assert Naming.of(root).pod_uid(name, qos) is None


@given(
    root=st.sampled_from(["kubepods", "kubepods.slice", "kubelet-kubepods.slice"]),
    qos=st.sampled_from(QOS_CLASSES),
    uid=st.from_regex(r"\A[0-9a-zA-Z]([0-9a-zA-Z-]{0,34}[0-9a-zA-Z])?\Z"),
)
def test_names_round_trip_and_belong_to_one_qos_class(root, qos, uid):
    naming = Naming.of(root)
    name = naming.pod_dir(uid, qos)
    assert naming.pod_uid(name, qos) == uid
    if naming.driver == "systemd":
        assert [naming.pod_uid(name, other) for other in QOS_CLASSES if other != qos] == [None] * 2


@given(st.text(max_size=80))
def test_any_name_is_a_valid_uid_or_none(name):
    for root in ("kubepods", "kubepods.slice"):
        for qos in QOS_CLASSES:
            uid = Naming.of(root).pod_uid(name, qos)
            assert uid is None or valid_uid(uid)


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "a_b", "a b", "ä", "a\n", "a" * 65])
def test_uids_that_never_reach_a_path(uid):
    assert not valid_uid(uid)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"cri-containerd-{ID}.scope", ID),
        (f"crio-{ID}.scope", ID),
        (f"crio-{ID}", ID),
        (f"docker-{ID}.scope", ID),
        (ID, ID),
        (f"crio-conmon-{ID}.scope", None),
        (f"crio-conmon-{ID}", None),
        ("init.scope", None),
        ("container", None),
        (f"../{ID}", None),
        ("", None),
    ],
)
def test_container_names(name, expected):
    assert container_id(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kubepods", True),
        ("kubepods.slice", True),
        ("kubelet-kubepods.slice", True),
        ("kubepods-burstable.slice", False),
        ("kubepods.slice.d", False),
        ("mykubepods", False),
        ("system.slice", False),
    ],
)
def test_roots(name, expected):
    assert is_kubepods(name) is expected
