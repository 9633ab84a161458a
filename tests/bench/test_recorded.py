"""Of the recorded trace what is asked for and when; each pod on one node, none over it."""

from bench import recorded
from bench.week import BOUND, SOCKETS, STEPS

HEAD = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
    "creation_time,deletion_time,scheduled_time"
)
DAY = 86400


def line(name: str, came: float, went: float, *, cpu: int = 4000, qos: str = "LS") -> str:
    return f"{name},{cpu},2048,0,0,,{qos},Running,{came},{went},{came}"


def test_pods_that_were_never_scheduled_are_left_out():
    pods = recorded.read(
        [HEAD, "a,4000,2048,0,0,,LS,Pending,5,9,", line("b", 5, 9, cpu=2000, qos="Guaranteed")]
    )
    assert [(p.came, p.went, p.requests.cpu_millis, p.guaranteed) for p in pods] == [
        (5, 9, 2000, True)
    ]
    assert pods[0].requests.memory_bytes == 2048 << 20


def test_the_busiest_week_is_found_and_pods_from_before_are_there_at_once():
    early = [line("early", 0, 40 * DAY)]
    busy = [line(f"p{i}", (20 + i) * DAY, 40 * DAY) for i in range(7)]
    found = recorded.scene([HEAD, *early, *busy])
    steps = sorted(step for node in range(found.nodes) for step, _ in found.coming(node))
    assert len(steps) == 8
    assert steps[:2] == [0, 0]
    assert steps[-1] < STEPS


def test_pods_are_scattered_and_no_node_gets_more_than_a_scheduler_binds():
    pods = [line(f"p{i}", 20 * DAY + i, 40 * DAY, cpu=16000) for i in range(60)]
    found = recorded.scene([HEAD, *pods])
    most = BOUND * SOCKETS * found.cpus * 1000
    for node in range(found.nodes):
        asked = [life.asked.requests.cpu_millis for _, life in found.coming(node)]
        assert len(asked) == 5
        assert sum(asked) <= most


def test_each_rule_sees_the_same_pods_anew():
    found = recorded.scene([HEAD, line("a", 0, DAY)])
    (first,), (second,) = found.coming(0), found.coming(0)
    assert first == second
    assert first[1] is not second[1]
