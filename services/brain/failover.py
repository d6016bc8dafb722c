"""A backend that may fail, and the listener in its place."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

import structlog

from oviya.errors import NotReady, OviyaError, Timeout, Unavailable
from oviya.mesh.background import background_task
from services.brain.backend import Backend, Condition, Exchange, Sentence, Summary, Turn
from services.brain.metrics import DEGRADED, FAILURES

log = structlog.get_logger()

MAX_OWN_PAUSES = 1024
"""Conversations whose time-outs are remembered."""

INSTEAD = "the listener answers"
BROKEN_OFF = Sentence("Sorry, I lost my thread there.", "apologetic")
"""Said where a reply breaks off in its middle: another mind could not go on with it."""


@dataclass(slots=True)
class Pause:
    """A time in which a backend is not asked; doubles each time it begins, until it is ended.

    Attributes:
        first_s: its length at first, in seconds.
        longest_s: its greatest length.
        until: the clock's time at which it is over.
        problem: why it began.
    """

    first_s: float
    longest_s: float
    until: float = float("-inf")
    problem: str = ""
    times: int = 0

    def begin(self, now: float, problem: str) -> None:
        """Begins another pause, unless one has begun: replies that fail together count once."""
        if now < self.until:
            return
        self.until = now + min(self.first_s * 2**self.times, self.longest_s)
        self.times, self.problem = min(self.times + 1, 32), problem

    def end(self) -> None:
        """Ends it, as after a success."""
        self.until, self.times = float("-inf"), 0


def _conversation(exchange: Exchange) -> str:
    """What tells conversations apart: the session, or where it has no name how it began."""
    if exchange.session_id:
        return f"session {exchange.session_id}"
    begin = next((turn.text for turn in exchange.history if turn.role == "user"), exchange.text)
    return hashlib.blake2b(begin.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Failover:
    """Asks one backend, and another one where that fails.

    Nobody should wait for the same time-out at every turn, and nobody should lose the first backend because of what
    happens to somebody else.  So a conversation whose reply timed out is answered by the second for a while, which
    doubles with each further time-out.  All of them are only while the first is evidently away: it cannot be reached,
    its model is missing, or the replies of several conversations in a row timed out.  Summaries are made in the
    background and count for nothing.

    Args:
        first: the backend that should answer.
        second: answers where it fails; needs no other service.
        retry_s: time in seconds until `first` is asked again.
        max_retry_s: the longest that this becomes.
        failures_in_a_row: conversations whose replies time out, without a success in between, that count as `first`
            being away.
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
        failures_in_a_row: int = 3,
        fatal: tuple[type[OviyaError], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._second = second
        self._retry_s = retry_s
        self._max_retry_s = max_retry_s
        self._failures_in_a_row = failures_in_a_row
        self._fatal = fatal
        self._clock = clock
        self._problem = f"{first.name}: is not ready yet"
        self._pause = Pause(retry_s, max_retry_s)
        self._pause.until = float("inf")  # not before it is warm
        self._own_pauses: OrderedDict[str, Pause] = OrderedDict()  # by conversation, the longest unused first
        self._timed_out: set[str] = set()  # conversations that timed out since the last success
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
        key = _conversation(exchange)
        problem = self._reason_not_to_ask(key)
        if not problem:
            said, failure = False, None
            try:
                async with aclosing(self._first.reply(exchange)) as sentences:
                    async for sentence in sentences:
                        said = True
                        yield sentence
            except Exception as error:  # whatever it is: somebody waits for an answer
                failure = error
            if failure is None:
                self._works(key)
                return
            problem = self._failed(key, failure)
            if said:
                yield replace(BROKEN_OFF, degraded=problem, backend=self._second.name)
                return
        degraded = f"{problem}; {INSTEAD}"
        async with aclosing(self._second.reply(exchange)) as sentences:
            async for sentence in sentences:
                yield replace(sentence, degraded=degraded, backend=self._second.name)
                degraded = ""

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        """Summarizes with the first, or the second where the first fails.  It says nothing about later replies."""
        problem = self._problem
        if self._clock() >= self._pause.until:
            try:
                return await self._first.summarize(summary, turns)
            except Exception as error:
                self._report("summary", error)
                problem = self._describe(error)
        made = await self._second.summarize(summary, turns)
        return replace(made, degraded=f"{problem}; the listener makes the summary", backend=self._second.name)

    def _reason_not_to_ask(self, key: str) -> str:
        """Why the first is not asked now for this conversation; empty: it is asked."""
        now = self._clock()
        if now < self._pause.until:
            return self._problem
        own = self._own_pauses.get(key)
        return own.problem if own is not None and now < own.until else ""

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

    def _works(self, key: str = "") -> None:
        self._problem = ""
        self._pause.end()
        self._timed_out.clear()
        self._own_pauses.pop(key, None)
        self._show()

    def _failed(self, key: str, error: Exception) -> str:
        """Counts and logs a reply's failure, and judges what it says of the backend; returns what is told of it."""
        self._report("reply", error)
        problem = self._describe(error)
        now = self._clock()
        if isinstance(error, Unavailable | NotReady):
            self._pause.begin(now, problem)
        elif isinstance(error, Timeout):
            own = self._own_pauses.setdefault(key, Pause(self._retry_s, self._max_retry_s))
            own.begin(now, problem)
            self._own_pauses.move_to_end(key)
            if len(self._own_pauses) > MAX_OWN_PAUSES:
                self._own_pauses.popitem(last=False)
            if len(self._timed_out) < self._failures_in_a_row:
                self._timed_out.add(key)
            if len(self._timed_out) >= self._failures_in_a_row:
                self._pause.begin(now, problem)
        if isinstance(error, NotReady) and (self._warming is None or self._warming.done()):
            # Its model is gone: it may have to be got again.
            self._warming = background_task("warming of the backend", self._warm_first())
        self._problem = problem
        self._show()
        return problem

    def _report(self, asked: str, error: Exception) -> None:
        FAILURES.labels(self.name, asked, type(error).__name__).inc()
        typed = isinstance(error, OviyaError)
        # The message may hold what people said: a server's answer may quote the prompt.
        log.warning("the backend failed", backend=self.name, asked=asked, error=type(error).__name__,
                    exc_info=None if typed else error)  # fmt: skip
        log.debug("the backend failed", backend=self.name, asked=asked, reason=str(error))

    def _describe(self, error: Exception) -> str:
        if isinstance(error, OviyaError):
            return str(error)
        return f"{self.name}: made a mistake; the brain's log has the details"

    def _show(self) -> None:
        DEGRADED.labels(self.name).set(bool(self._problem))
