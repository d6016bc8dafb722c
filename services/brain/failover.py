"""A backend that may fail, and the listener in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

import structlog

from oviya.errors import NotReady, OviyaError, Timeout, Unavailable
from oviya.mesh.background import background_task
from services.brain.backend import Backend, Condition, Exchange, Sentence, Summary, Turn
from services.brain.metrics import DEGRADED, FAILURES

log = structlog.get_logger()

INSTEAD = "the listener answers"
BROKEN_OFF = Sentence("Sorry, I lost my thread there.", "apologetic")
"""Said where a reply breaks off in its middle: another mind could not go on with it."""


class Failover:
    """Asks one backend, and another one where that fails.

    Whoever failed by silence or absence is not asked again for a while, which doubles with each further failure: nobody
    should wait for the same time-out at every turn.

    Args:
        first: the backend that should answer.
        second: answers where it fails; needs no other service.
        retry_s: time in seconds until `first` is asked again.
        max_retry_s: the longest that this becomes.
        fatal: errors of `first.warm` that end the service instead of being retried.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        first: Backend,
        second: Backend,
        *,
        retry_s: float,
        max_retry_s: float,
        fatal: tuple[type[OviyaError], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._second = second
        self._retry_s = retry_s
        self._max_retry_s = max_retry_s
        self._fatal = fatal
        self._clock = clock
        self._problem = f"{first.name}: is not ready yet"
        self._failures = 0
        self._ask_again_at = float("inf")  # not before it is warm
        self._warming: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()  # the first has been warmed once, with whatever success

    @property
    def name(self) -> str:
        return self._first.name

    async def warm(self) -> None:
        """Warms both.  What keeps the first from it, if not `fatal`, is waited for in the background.

        Raises:
            OviyaError: the second cannot work, or the first failed with an error that is `fatal`.
        """
        await self._second.warm()
        self._warming = asyncio.create_task(self._warm_first(self._fatal))
        tried = asyncio.create_task(self._tried.wait())
        await asyncio.wait({self._warming, tried}, timeout=self._retry_s, return_when=asyncio.FIRST_COMPLETED)
        tried.cancel()
        if self._warming.done():
            self._warming.result()
        self._show()

    async def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            with suppress(asyncio.CancelledError, OviyaError):
                await self._warming
        await self._first.close()
        await self._second.close()

    def condition(self) -> Condition:
        first = self._first.condition()
        if not self._problem:
            return first
        return replace(first, degraded=f"{first.degraded or self._problem}; {INSTEAD}")

    async def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Answers with the first, or the second where the first fails.  It does not fail."""
        problem = self._problem
        if self._clock() >= self._ask_again_at:
            said, failure = False, None
            try:
                async with aclosing(self._first.reply(exchange)) as sentences:
                    async for sentence in sentences:
                        said = True
                        yield sentence
            except Exception as error:  # whatever it is: somebody waits for an answer
                failure = error
            if failure is None:
                self._works()
                return
            problem = self._failed("reply", failure)
            if said:
                yield replace(BROKEN_OFF, degraded=problem, backend=self._second.name)
                return
        degraded = f"{problem}; {INSTEAD}"
        async with aclosing(self._second.reply(exchange)) as sentences:
            async for sentence in sentences:
                yield replace(sentence, degraded=degraded, backend=self._second.name)
                degraded = ""

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        """Summarizes with the first, or the second where the first fails."""
        problem = self._problem
        if self._clock() >= self._ask_again_at:
            try:
                return await self._first.summarize(summary, turns)
            except Exception as error:
                problem = self._failed("summary", error)
        made = await self._second.summarize(summary, turns)
        return replace(made, degraded=f"{problem}; the listener makes the summary", backend=self._second.name)

    async def _warm_first(self, fatal: tuple[type[OviyaError], ...] = ()) -> None:
        """Warms the first until it succeeds, or fails with an error that is `fatal`."""
        pause_s = self._retry_s
        while True:
            try:
                await self._first.warm()
            except fatal:
                raise
            except Exception as error:
                self._problem = self._describe(error)
                FAILURES.labels(self.name, "start", type(error).__name__).inc()
                log.warning("the backend is not ready; the listener answers", backend=self.name, reason=self._problem)
                self._tried.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._max_retry_s)
            else:
                self._works()
                log.info("the backend is ready", backend=self.name, model=self._first.condition().model)
                return

    def _works(self) -> None:
        self._problem, self._failures, self._ask_again_at = "", 0, float("-inf")
        self._show()

    def _failed(self, asked: str, error: Exception) -> str:
        """Counts and logs a failure; returns what is told of it."""
        FAILURES.labels(self.name, asked, type(error).__name__).inc()
        typed = isinstance(error, OviyaError)
        # The message may hold what people said: a server's answer may quote the prompt.
        log.warning("the backend failed", backend=self.name, asked=asked, error=type(error).__name__,
                    exc_info=None if typed else error)  # fmt: skip
        log.debug("the backend failed", backend=self.name, asked=asked, reason=str(error))
        if isinstance(error, Timeout | Unavailable | NotReady):
            pause_s = min(self._retry_s * 2**self._failures, self._max_retry_s)
            self._failures += 1
            self._ask_again_at = self._clock() + pause_s
        if isinstance(error, NotReady) and (self._warming is None or self._warming.done()):
            # Its model is gone: it may have to be got again.
            self._warming = background_task("warming of the backend", self._warm_first())
        self._problem = self._describe(error)
        self._show()
        return self._problem

    def _describe(self, error: Exception) -> str:
        if isinstance(error, OviyaError):
            return str(error)
        return f"{self.name}: made a mistake; the brain's log has the details"

    def _show(self) -> None:
        DEGRADED.labels(self.name).set(bool(self._problem))
