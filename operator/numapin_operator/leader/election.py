"""Stands by until the Lease can be had, then keeps it, and says when it is lost.

Nobody leads who was not refused before and admitted after putting its name into the fence: by
that the API server has shown that it refuses everybody else. What an earlier leader wrote until
then is found by the LIST that follows; what it sends later, or has sent and the network held
back, is refused. Renewing is given up before the Lease is over, so that mostly there is nothing
to refuse.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, TypeVar

from numapin_api.errors import ApiError, NumapinError
from numapin_operator.leader.api import Leases
from numapin_operator.leader.lease import Fence, Lease, Watched, fence, given_up, held

RENEWED: Final = 2 / 3
"""A leader that could not renew for this part of the Lease ends: a third is left for clocks that
run apart and for what is under way."""
ASKED: Final = 2 / 15
"""Between two requests for the Lease, as a part of it."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class LeaseLostError(NumapinError):
    """The Lease is somebody else's or soon may be: nothing may be written any more."""


class Election:
    """One operator's part in it.

    Args:
        leases: the API server.
        me: this pod's name.
        lasting: seconds that the Lease lasts.
        now: wall clock, UTC.
        clock: monotonic seconds.
        sleep: for tests.
    """

    def __init__(  # noqa: PLR0913 (each is a dependency to inject)
        self,
        leases: Leases,
        *,
        me: str,
        lasting: int,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leases, self._me, self._lasting = leases, me, lasting
        self._now, self._clock, self._sleep = now, clock, sleep
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="lease")
        self._lease: Lease | None = None
        self._until = float("-inf")

    def leads(self) -> bool:
        """Whether the Lease is surely this pod's still."""
        return self._clock() < self._until

    # -- standing by ------------------------------------------------------------------

    async def during(
        self, work: Callable[[], Awaitable[None]], *, lost: Callable[[str], None]
    ) -> None:
        """Stand by, do the work while this pod leads, and give the Lease up after it.

        Args:
            work: what only a leader may do; it begins once the API server refuses all others.
            lost: told why, when the Lease can't be kept. It must end all writing at once, for an
                orderly end of the work takes longer than there is time.

        Raises:
            LeaseLostError: this pod has the Lease, and is refused all the same.
        """
        await self._take()
        log.info("lease taken", extra={"pod": self._me})
        keeping = asyncio.create_task(self._keep(lost), name="lease")
        try:
            await self._opened()
            log.info("leads", extra={"pod": self._me})
            await work()
        finally:
            keeping.cancel()
            await self._resign()

    async def _take(self) -> None:
        watched, said = Watched(), ""
        while True:
            try:
                state = await self._try(watched)
            except ApiError as error:
                state = str(error)
            if not state:
                return
            if state != said:
                log.info("stands by", extra={"pod": self._me, "because": state})
                said = state
            await self._sleep(self._lasting * ASKED)

    async def _try(self, watched: Watched) -> str:
        """Take the Lease if it is free; why that was not done, else nothing."""
        found = await self._ask(self._leases.read)
        if not watched.free(found, me=self._me, now=self._clock()):
            return f"{found.holder if found else ''} leads"
        if found is None or found.holder != self._me:
            named = await self._ask(self._leases.fence)
            if named is None or named.pod == self._me:
                # With nothing to go by the policy lets all pass; and what an earlier process of
                # this pod left open would look as if there were no policy.
                await self._name("", named)
                return "the NumaLeader is to name nobody first"
            if await self._ask(self._leases.admitted):
                return "no ValidatingAdmissionPolicy refuses what is written without the Lease"
        return "" if await self._write(found) else "another was faster"

    async def _opened(self) -> None:
        """Return once the API server admits this pod, and has done so for a while.

        There may be several API servers, and each hears of it a moment later.
        """
        begun = self._clock()
        while not await self._admitted():
            if self._clock() - begun > self._lasting:
                raise LeaseLostError("the Lease is held, and the API server refuses all the same")
            await self._sleep(self._lasting * ASKED / 4)
        await self._sleep(self._lasting * ASKED)

    async def _admitted(self) -> bool:
        """Have the fence name this pod; whether the API server goes by that already."""
        try:
            found = await self._ask(self._leases.fence)
            # Asked after it was read: what another leader has made of it later is not replaced.
            if not self.leads():
                return False
            if found is None or found.pod != self._me:
                await self._name(self._me, found)
                return False
            return await self._ask(self._leases.admitted)
        except ApiError as error:
            log.info("not admitted yet", extra={"because": str(error)})
            return False

    # -- leading ----------------------------------------------------------------------

    async def _keep(self, lost: Callable[[str], None]) -> None:
        """Renew the Lease until it is lost."""
        because = "it could not be renewed"
        while self.leads():
            await self._sleep(min(self._lasting * ASKED, self._until - self._clock()))
            try:
                async with asyncio.timeout(max(0.0, self._until - self._clock())):
                    await self._renew()
            except (ApiError, TimeoutError) as error:
                log.warning("lease not renewed", extra={"error": str(error) or "no answer"})
            except LeaseLostError as error:
                because = str(error)
        lost(because)

    async def _renew(self) -> None:
        if not await self._write(self._lease):
            # Somebody was faster, or the answer to our own last one was lost.
            found = await self._ask(self._leases.read)
            if found is None or found.holder != self._me:
                self._until = float("-inf")
                raise LeaseLostError(f"the Lease is {found.holder or 'free' if found else 'gone'}")
            self._lease = found

    async def _write(self, before: Lease | None) -> bool:
        # From before the request: nobody counts the Lease from an earlier moment.
        begun = self._clock()
        body = held(
            before, self._leases.name, holder=self._me, lasting=self._lasting, now=self._now()
        )
        written = await self._ask(lambda: self._leases.write(body))
        if written is None:
            return False
        self._lease, self._until = written, begun + self._lasting * RENEWED
        return True

    async def _resign(self) -> None:
        """Give the Lease up: nothing is written any more."""
        self._until = float("-inf")
        try:
            named = await self._ask(self._leases.fence)
            if named is not None and named.pod == self._me:
                await self._name("", named)
            # Read anew: a renewal may have been under way.
            found = await self._ask(self._leases.read)
            if found is not None and found.holder == self._me:
                body = given_up(found, self._leases.name)
                await self._ask(lambda: self._leases.write(body))
        except ApiError as error:
            log.warning("lease not given up", extra={"error": str(error)})

    async def _name(self, pod: str, before: Fence | None) -> None:
        """Have the fence let that pod write, if it has not changed since."""
        body = fence(before, self._leases.name, pod=pod)
        await self._ask(lambda: self._leases.put_fence(body))

    async def _ask(self, request: Callable[[], T]) -> T:
        # Threads of its own: searches for moves may keep the common ones busy for seconds.
        return await asyncio.get_running_loop().run_in_executor(self._threads, request)
