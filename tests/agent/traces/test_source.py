"""NumaTraces of a node are known without their answers, however many of those are kept."""

import json
import tracemalloc
from collections.abc import Callable
from itertools import islice

import httpx2
import pytest
from lightkube import Client, KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import Cluster, User
from support.objects import example

from numapin_agent.kube import TRACE_CHUNK, traces_of
from numapin_agent.traces.source import TraceSource
from numapin_agent.watch import VersionGoneError
from numapin_api.errors import ApiError

KEPT = 12 * TRACE_CHUNK
ANSWER = 96 << 10
EXAMPLE = example("NumaTrace")


def trace(number: int) -> dict[str, object]:
    return EXAMPLE | {
        "metadata": {
            "name": f"t{number}",
            "namespace": "shop",
            "resourceVersion": "7",
            "annotations": {"note": "b" * (ANSWER // 2)},
        },
        "status": {"phase": "Done", "result": "A" * ANSWER},
    }


def pages(request: httpx2.Request) -> httpx2.Response:
    """As the API server answers a list, or a watch with a change of each trace."""
    asked = request.url.params
    if "watch" in asked:
        changes = ({"type": "MODIFIED", "object": trace(i)} for i in range(KEPT))
        return httpx2.Response(200, content=(json.dumps(c).encode() + b"\n" for c in changes))
    first = int(asked.get("continue", 0))
    after = min(KEPT, first + int(asked["limit"]))
    meta = {"resourceVersion": "9"} | ({"continue": str(after)} if after < KEPT else {})
    return httpx2.Response(
        200, json={"metadata": meta, "items": [trace(i) for i in range(first, after)]}
    )


def source(answer: Callable[[httpx2.Request], httpx2.Response] = pages) -> TraceSource:
    user = User(token="any")
    config = KubeConfig.from_one(cluster=Cluster(server="http://nowhere"), user=user).get()
    assert isinstance(config, SingleConfig)
    client = Client(config=config, transport=httpx2.MockTransport(answer))
    return TraceSource(traces_of(client, "numa-0"))


def listed() -> list[str]:
    version, known = source().list()
    assert version == "9"
    return [key[1] for key, one in known if one is not None]


def watched() -> list[str]:
    changes = islice(source().watch("9"), KEPT)
    return [key[1] for _, _, (key, one) in changes if one is not None]


@pytest.mark.parametrize("names", [listed, watched])
def test_answers_are_never_held_all_at_once(names: Callable[[], list[str]]):
    names()
    tracemalloc.start()
    try:
        assert names() == [f"t{i}" for i in range(KEPT)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A page and the one before, as text and as objects, the server's own too: not all there are.
    assert most < KEPT * ANSWER


@pytest.mark.parametrize(("status", "error"), [(410, VersionGoneError), (500, ApiError)])
@pytest.mark.parametrize("good", [0, 2])
def test_a_list_that_breaks_off_is_no_list(good: int, status: int, error: type[ApiError]):
    asked: list[str] = []

    def breaks(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        if len(asked) <= good:
            return pages(request)
        return httpx2.Response(status, json={"code": status, "message": "no"})

    with pytest.raises(error):
        source(breaks).list()
