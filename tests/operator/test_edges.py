"""Small things at the edges: pacing, kopf's settings, log lines, words, what is kept of pods."""

import asyncio
import itertools
import json
import logging
from pathlib import Path
from typing import Any

import kopf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.operator_objects import pod as manifest

from numapin_operator.handlers import (
    WATCHED,
    Backoffs,
    Forgetful,
    credentials,
    probe_loop,
    probe_watches,
    settings,
)
from numapin_operator.logs import JsonFormatter, PlainFormatter
from numapin_operator.pods import read_pod
from numapin_operator.store import KINDS, older
from numapin_operator.stream import STREAMED
from numapin_operator.text import cores, listed, quoted, size
from numapin_operator.writer import Pace


def test_selectors_are_keyed_so_that_kopf_finds_them():
    """The key "v1/pods", as kopf's documentation has it, matches nothing."""
    found = settings().watching.label_selectors
    assert list(found.collect(STREAMED["pods"])) == ["numapin.io/pin=true"]
    assert list(found.collect(STREAMED["numapins"])) == []


def test_kopf_neither_posts_nor_scans_nor_peers():
    found = settings()
    assert not found.posting.enabled
    assert found.scanning.disabled
    assert found.peering.standalone
    assert found.watching.chunk_size == 500
    assert found.queueing.idle_timeout == 0.5


def test_kopf_keeps_nothing_of_the_objects_it_has_seen():
    memories = Forgetful()
    seen: list[Any] = []
    for number in range(3):
        body: Any = {"metadata": {"uid": str(number)}}
        seen.append(asyncio.run(memories.recall(body, noticed_by_listing=True)))
        asyncio.run(memories.forget(body))
    assert [m.noticed_by_listing for m in seen] == [True] * 3
    asyncio.run(memories.recall({"metadata": {"uid": "kept?"}}))
    assert list(memories.iter_all_memories()) == []


def test_every_kind_is_watched():
    assert set(WATCHED) | set(STREAMED) == set(KINDS)
    assert set(WATCHED) & set(STREAMED) == set()


def test_kopf_never_gives_up_on_the_api_server():
    waits = list(itertools.islice(Backoffs(), 1000))
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits[-1] == 15.0
    assert list(itertools.islice(Backoffs(), 1)) == [0.5]


def test_probes_fail_for_good_when_something_is_dead():
    assert probe_loop(silent=119, ended=[]) == "runs"
    assert probe_watches(unheard=(), stale=()) == "fresh"
    with pytest.raises(kopf.PermanentError, match="stuck for 121 s"):
        probe_loop(silent=121, ended=[])
    with pytest.raises(kopf.PermanentError, match="ended: reconciler"):
        probe_loop(silent=0, ended=["reconciler"])
    with pytest.raises(kopf.PermanentError, match="watches are dead: pods"):
        probe_watches(unheard=(), stale=["pods"])
    with pytest.raises(kopf.PermanentError, match="watches have not begun: namespaces"):
        probe_watches(unheard=["namespaces"], stale=())


def test_credentials_come_from_the_kubeconfig(tmp_path: Path):
    file = tmp_path / "config"
    file.write_text(
        """
        {apiVersion: v1, kind: Config, current-context: c,
         contexts: [{name: c, context: {cluster: k, user: u}}],
         clusters: [{name: k, cluster: {server: "https://10.0.0.1:6443"}}],
         users: [{name: u, user: {token: secret}}]}
        """
    )
    found = credentials(str(file))
    assert (found.server, found.scheme, found.token) == (
        "https://10.0.0.1:6443",
        "Bearer",
        "secret",
    )
    with pytest.raises(kopf.LoginError, match="no usable API credentials"):
        credentials(str(tmp_path / "nowhere"))


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.sampled_from([1.0, 5.0, 100.0]))
def test_no_second_has_more_than_twice_the_rate_and_no_minute_more_than_its_share(
    pauses: list[float], rate: float
):
    time = Time()
    pace = Pace(rate, clock=time.clock)
    calls: list[float] = []
    for pause in pauses:
        time.now += pause
        time.now += pace.reserve()
        calls.append(time.now)
    for first in calls:
        within = [c for c in calls if first <= c < first + 60]
        assert len(within) <= 61 * rate + 1


def test_a_burst_of_a_second_is_free_and_the_next_call_waits():
    time = Time()
    pace = Pace(10, clock=time.clock)
    assert [pace.reserve() for _ in range(10)] == [0.0] * 10
    assert pace.reserve() == pytest.approx(0.1)


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": message, **extra})
    made.created = 0.5
    return made


def test_log_lines_are_a_message_and_fields():
    line = JsonFormatter().format(record("pin written", pin="a/b", socket=None))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "info",
        "logger": "n",
        "message": "pin written",
        "pin": "a/b",
        "socket": None,
    }
    assert (
        PlainFormatter().format(record("pin written", pin="a/b"))
        == "00:00:00.500 INFO    pin written pin=a/b"
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (419_524_608, "400.1 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes(amount: int, text: str):
    assert size(amount) == text


@pytest.mark.parametrize(("millis", "text"), [(0, "0"), (1500, "1500m"), (2000, "2")])
def test_cores(millis: int, text: str):
    assert cores(millis) == text


def test_foreign_words_are_shown_safely():
    assert quoted('a"b\n\u0663') == '"a\\"b\\n\\u0663"'
    assert quoted("x" * 500) == '"' + "x" * 60 + '..."'
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


@pytest.mark.parametrize(
    ("version", "known", "is_older"),
    [
        ("5", "10", True),
        ("10", "5", False),
        ("5", "5", False),
        ("abc", "5", False),
        ("", "5", False),
    ],
)
def test_resource_versions_compare_as_numbers(version: str, known: str, is_older: bool):
    assert older(version, known) is is_older


def test_of_a_pod_only_what_pinning_needs_is_kept():
    obj = manifest("p", node="n", annotations={"numapin.io/mode": "Observe", "other": "x" * 999})
    obj["metadata"] |= {"namespace": "ns", "uid": "u", "creationTimestamp": "t"}
    obj["status"] = {"phase": "Running"}
    found = read_pod(obj)
    assert found.annotations == {"numapin.io/mode": "Observe"}
    assert (found.node, found.running, found.finished, found.opted_in) == ("n", True, False, True)
    assert (found.requests.cpu_millis, found.requests.memory_bytes) == (100, 64 << 20)
