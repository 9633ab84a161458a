"""Only the newest write counts, and none is lost to an outage."""

from collections.abc import Callable

from support.wait import until

from numapin_agent.publisher import Publisher
from numapin_api.errors import ApiError


class Server:
    """An API server that is away for the first writes."""

    def __init__(self, *, away: int = 0) -> None:
        self.away = away
        self.holds: list[str] = []

    def write(self, value: str) -> Callable[[], None]:
        def send() -> None:
            if self.away:
                self.away -= 1
                raise ApiError("connection refused")
            self.holds.append(value)

        return send


def publisher(errors: list[Exception]) -> Publisher:
    return Publisher(failed=errors.append, uniform=lambda _low, _high: 0.0)


def test_of_several_writes_for_one_key_the_newest_is_sent() -> None:
    server, due = Server(), publisher([])
    for value in ("old", "newer", "newest"):
        due.submit("a", server.write(value))
    due.submit("b", server.write("other"))
    due.start()
    until(lambda: due.pending() == 0, what="all to be sent")
    due.stop()
    assert server.holds == ["newest", "other"]


def test_a_write_that_fails_stays_due_until_it_succeeds() -> None:
    server, errors = Server(away=3), list[Exception]()
    due = publisher(errors)
    due.submit("a", server.write("kept"))
    due.start()
    until(lambda: due.pending() == 0, what="the write to be sent")
    due.stop()
    assert server.holds == ["kept"]
    assert len(errors) == 3


def test_a_write_made_during_an_outage_replaces_the_one_that_failed() -> None:
    server, due = Server(away=1), publisher([])
    due.submit("a", server.write("old"))
    due.send("a")
    due.submit("a", server.write("new"))
    due.start()
    until(lambda: due.pending() == 0, what="the write to be sent")
    due.stop()
    assert server.holds == ["new"]


def test_what_was_dropped_is_not_sent() -> None:
    server, due = Server(away=1), publisher([])
    due.submit("a", server.write("of a pin that is gone"))
    due.send("a")
    due.drop("a")
    due.send("a")
    assert server.holds == []
    assert due.pending() == 0


def test_a_surprise_ends_neither_thread_nor_write() -> None:
    server, errors = Server(), list[Exception]()
    due = publisher(errors)
    tries = iter([RuntimeError("surprise")])

    def write() -> None:
        error = next(tries, None)
        if error:
            raise error
        server.write("kept")()

    due.submit("a", write)
    due.start()
    until(lambda: server.holds == ["kept"], what="the write to be sent")
    due.stop()
    assert [type(e) for e in errors] == [RuntimeError]
