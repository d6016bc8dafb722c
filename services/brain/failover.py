"""Failover from a backend that may fail to the listener."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from oviya.errors import NotReady, OviyaError, Timeout, Unavailable
from oviya.mesh.background import background_task
from oviya.tasks import cancel_and_wait
from services.brain.backend import Backend, BackendStatus, Exchange, Sentence, Summary, Turn
from services.brain.circuit_breaker import CircuitBreaker
from services.brain.metrics import DEGRADED, FAILURES

log = structlog.get_logger()

MAX_SESSION_BREAKERS = 1024
"""Sessions whose time-outs are remembered."""

INSTEAD = "the listener answers"
BROKEN_OFF = Sentence("Sorry, I lost my thread there.", "apologetic", language="en")
"""Ends a reply that breaks off: the fallback could not continue it."""


def _session_key(exchange: Exchange) -> str:
    """Identifies the session: its id, or a hash of its first user turn if it has none."""
    if exchange.session_id:
        return f"session {exchange.session_id}"
    first = next((turn.text for turn in exchange.history if turn.role == "user"), exchange.text)
    return hashlib.blake2b(first.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Failover:
    """Calls the primary backend, and the fallback if the primary fails.

    There are two kinds of circuit breakers.  A reply that times out opens the breaker of its session, so that the next
    turns do not wait for the same time-out; other sessions keep the primary.  The breaker of the primary stops calls
    of all sessions.  It opens when the primary cannot be reached, when its model is missing, or when replies of several
    sessions in a row have timed out.  Failed summaries, which nobody waits for, open no breaker.

    Args:
        primary: the backend that should answer.
        fallback: answers if `primary` fails; needs no other service.
        retry_s: first pause of a breaker in seconds.
        max_retry_s: longest pause of a breaker in seconds.
        failures_in_a_row: sessions that time out without a success in between and open the breaker of `primary`.
        fatal: errors of `primary.warm` that end the service instead of being retried.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        primary: Backend,
        fallback: Backend,
        *,
        retry_s: float,
        max_retry_s: float,
        failures_in_a_row: int = 3,
        fatal: tuple[type[OviyaError], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._fallback = fallback
        self._retry_s = retry_s
        self._max_retry_s = max_retry_s
        self._failures_in_a_row = failures_in_a_row
        self._fatal = fatal
        self._clock = clock
        self._problem = f"{primary.name}: is not ready yet"
        self._breaker = CircuitBreaker(retry_s, max_retry_s, open_until=float("inf"))  # until the primary is warm
        self._session_breakers: OrderedDict[str, CircuitBreaker] = OrderedDict()  # least recently used first
        self._timed_out: set[str] = set()  # sessions that timed out since the last success
        self._warming: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()  # the first attempt to warm the primary has ended

    @property
    def name(self) -> str:
        return self._primary.name

    async def warm(self) -> None:
        """Warms both backends.  Errors of the primary that are not `fatal` are retried in the background.

        Raises:
            OviyaError: the fallback failed, or the primary failed with a `fatal` error.
        """
        await self._fallback.warm()
        self._warming = asyncio.create_task(self._warm_primary(self._fatal))
        tried = asyncio.create_task(self._tried.wait())
        await asyncio.wait({self._warming, tried}, timeout=self._retry_s, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(tried)
        if self._warming.done():
            self._warming.result()
        self._update_gauge()

    async def close(self) -> None:
        await cancel_and_wait(self._warming)
        await self._primary.close()
        await self._fallback.close()

    def status(self) -> BackendStatus:
        status = self._primary.status()
        if not self._problem:
            return status
        return replace(status, degraded=f"{status.degraded or self._problem}; {INSTEAD}")

    async def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of the primary's reply, or of the fallback's if the primary fails."""
        session = _session_key(exchange)
        problem = self._open_problem(session)
        if not problem:
            spoke, failure = False, None
            try:
                async with aclosing(self._primary.reply(exchange)) as sentences:
                    async for sentence in sentences:
                        spoke = True
                        yield sentence
            except Exception as error:  # of any kind: the caller needs an answer
                failure = error
            if failure is None:
                self._record_success(session)
                return
            problem = self._record_failure(session, failure)
            if spoke:
                yield replace(BROKEN_OFF, degraded=problem, backend=self._fallback.name)
                return
        degraded = f"{problem}; {INSTEAD}"
        async with aclosing(self._fallback.reply(exchange)) as sentences:
            async for sentence in sentences:
                yield replace(sentence, degraded=degraded, backend=self._fallback.name)
                degraded = ""

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        """The primary's summary, or the fallback's if the primary fails."""
        problem = self._problem
        if not self._breaker.is_open(self._clock()):
            try:
                return await self._primary.summarize(summary, turns)
            except Exception as error:
                self._report("summary", error)
                problem = self._describe(error)
        made = await self._fallback.summarize(summary, turns)
        return replace(made, degraded=f"{problem}; the listener makes the summary", backend=self._fallback.name)

    def _open_problem(self, session: str) -> str:
        """The problem of an open breaker that applies to the session; empty: the primary can be called."""
        now = self._clock()
        if self._breaker.is_open(now):
            return self._problem
        breaker = self._session_breakers.get(session)
        return breaker.problem if breaker is not None and breaker.is_open(now) else ""

    async def _warm_primary(self, fatal: tuple[type[OviyaError], ...] = ()) -> None:
        """Warms the primary until it succeeds or fails with a `fatal` error."""
        pause_s = self._retry_s
        while True:
            try:
                await self._primary.warm()
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
                self._record_success()
                log.info("the backend is ready", backend=self.name, model=self._primary.status().model)
                return

    def _record_success(self, session: str = "") -> None:
        self._problem = ""
        self._breaker.reset()
        self._timed_out.clear()
        self._session_breakers.pop(session, None)
        self._update_gauge()

    def _record_failure(self, session: str, error: Exception) -> str:
        """Logs and counts the failure of a reply and trips breakers; returns the problem."""
        self._report("reply", error)
        problem = self._describe(error)
        now = self._clock()
        if isinstance(error, Unavailable | NotReady):
            self._breaker.trip(now, problem)
        elif isinstance(error, Timeout):
            breaker = self._session_breakers.setdefault(session, CircuitBreaker(self._retry_s, self._max_retry_s))
            breaker.trip(now, problem)
            self._session_breakers.move_to_end(session)
            if len(self._session_breakers) > MAX_SESSION_BREAKERS:
                self._session_breakers.popitem(last=False)
            if len(self._timed_out) < self._failures_in_a_row:
                self._timed_out.add(session)
            if len(self._timed_out) >= self._failures_in_a_row:
                self._breaker.trip(now, problem)
        if isinstance(error, NotReady) and (self._warming is None or self._warming.done()):
            # The model is missing and may have to be downloaded again.
            self._warming = background_task("warming of the backend", self._warm_primary())
        self._problem = problem
        self._update_gauge()
        return problem

    def _report(self, asked: str, error: Exception) -> None:
        FAILURES.labels(self.name, asked, type(error).__name__).inc()
        typed = isinstance(error, OviyaError)
        # The message may contain what people said: a server may quote the prompt.
        log.warning("the backend failed", backend=self.name, asked=asked, error=type(error).__name__,
                    exc_info=None if typed else error)  # fmt: skip
        log.debug("the backend failed", backend=self.name, asked=asked, reason=str(error))

    def _describe(self, error: Exception) -> str:
        if isinstance(error, OviyaError):
            return str(error)
        return f"{self.name}: internal error; see the brain's log"

    def _update_gauge(self) -> None:
        DEGRADED.labels(self.name).set(bool(self._problem))
