"""One try from beginning to end: make the pod, wait for the verdict, delete the pod.

Time, output and API are handed in. The pod is deleted whatever happens, and should even that
fail, the API server does it when the tester's own pod goes.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from numapin_api.errors import ApiError, SelfTestError
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_operator.selftest.judge import Seen, eligible, look, pod

POLL_SECONDS: Final = 1.0
GONE_SECONDS: Final = 30.0

Json = dict[str, Any]


class Api(Protocol):
    """What a try needs of the API server. Every call may raise ApiError."""

    def own_pod(self) -> Json:
        """The pod that this program runs in."""

    def nodes(self) -> Iterable[NumaNode]:
        """All NumaNodes."""

    def create(self, body: Json) -> Json:
        """Create a pod; the answer is the pod as it stands."""

    def pod(self, name: str) -> Json | None:
        """A pod of the own namespace; None if there is none."""

    def pin(self, name: str) -> NumaPin | None:
        """A NumaPin of the own namespace; None if there is none."""

    def delete(self, name: str, uid: str) -> None:
        """Delete the pod with that uid; one that is gone already is fine."""


def run(
    api: Api,
    *,
    seconds: int,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Try the installation.

    Args:
        api: the API server.
        seconds: how long to wait for the verdict.
        say: prints a line.
        clock: monotonic seconds.
        sleep: sleeps that many seconds.

    Raises:
        SelfTestError: the pod was not pinned and verified; says what was seen.
        ApiError: the API server refused or could not be reached.
    """
    until = clock() + seconds
    nodes = list(api.nodes())
    places = eligible(nodes)
    if not places:
        raise SelfTestError(
            f"none of {len(nodes)} NumaNodes is Ready and has two sockets, so no pod can be "
            "pinned: see `kubectl get numanodes`"
        )
    say(f"nodes with two sockets or more: {', '.join(places)}")
    made = api.create(pod(api.own_pod(), places, seconds=seconds))
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    say(f"made pod {made['metadata']['namespace']}/{name}")
    try:
        _judged(api, made, until=until, say=say, clock=clock, sleep=sleep)
    finally:
        _remove(api, name, uid, say=say, clock=clock, sleep=sleep)


def _judged(  # noqa: PLR0913 (run's own arguments)
    api: Api,
    made: Json,
    *,
    until: float,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    told: set[str] = set()
    seen = Seen(())
    while clock() < until:
        try:
            found = api.pod(name)
            pin = api.pin(name)
        except ApiError as error:
            # An API server that restarts is no reason to fail.
            seen = Seen((*seen.lines[:-1], str(error)))
        else:
            if found is None or found["metadata"]["uid"] != uid:
                raise SelfTestError(f"somebody deleted the pod {name}")
            seen = look(found, pin)
        for line in seen.lines:
            if line not in told:
                told.add(line)
                say(line)
        if seen.passed is not None:
            break
        sleep(POLL_SECONDS)
    last = seen.lines[-1] if seen.lines else "nothing was seen"
    if seen.passed is None:
        raise SelfTestError(f"no verdict in time; last seen: {last}")
    if not seen.passed:
        raise SelfTestError(last)


def _remove(  # noqa: PLR0913 (run's own arguments)
    api: Api,
    name: str,
    uid: str,
    *,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    until = clock() + GONE_SECONDS
    try:
        api.delete(name, uid)
        while clock() < until:
            found = api.pod(name)
            if found is None or found["metadata"]["uid"] != uid:
                say("deleted the pod")
                return
            sleep(POLL_SECONDS)
    except ApiError as error:
        # What the try found out matters more, and the owner reference sees to the pod.
        say(f"the pod could not be deleted: {error}")
        return
    say("the pod is being deleted")
