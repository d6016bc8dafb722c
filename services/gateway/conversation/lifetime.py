"""The life of a session: who may open one, how long it may last, and why it ends.

This is the only place that decides it.  A transport passes messages on and closes the stream of events when its caller
has left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from oviya.errors import NotReady, OviyaError, Timeout
from services.gateway import metrics
from services.gateway.quota import Quota
from services.gateway.settings import GatewaySettings

log = structlog.get_logger()


class Lifetime:
    """Decides when one session must end.

    Args:
        idle_s: longest time in seconds without activity while no turn runs.
        max_s: longest session in seconds.
        draining: set when the gateway stops.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, idle_s: float, max_s: float, draining: asyncio.Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_s, self._max_s = idle_s, max_s
        self._draining = draining
        self._clock = clock
        self._started_at = self._active_at = clock()
        self.in_turn = False
        """Whether a turn is being answered."""

    def start(self) -> None:
        """Starts both clocks again: the session is open now."""
        self._started_at = self._active_at = self._clock()

    def note_activity(self) -> None:
        """Restarts the idle clock: the user has spoken or typed.  Silent sound is no activity."""
        self._active_at = self._clock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Marks a turn as running; a session is not idle during a turn."""
        self.in_turn = True
        try:
            yield
        finally:
            self.in_turn = False
            self.note_activity()

    def ending(self) -> OviyaError | None:
        """Returns why the session must end now, as the error that its caller gets; None: it may go on."""
        if self._draining.is_set():
            return NotReady("the gateway is stopping", hint="connect again")
        now = self._clock()
        if now - self._started_at >= self._max_s:
            return Timeout(f"the session reached its longest length of {self._max_s:g} s", hint="open a new one")
        if not self.in_turn and now - self._active_at >= self._idle_s:
            return Timeout(f"nothing was said or typed for {self._idle_s:g} s", hint="open a new session")
        return None

    async def wait(self) -> OviyaError:
        """Waits until the session must end; returns the reason."""
        while (ending := self.ending()) is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_after_s()):
                    await self._draining.wait()
        return ending

    def _check_after_s(self) -> float:
        """Time in seconds until a limit can be reached.  The idle clock restarts at the end of a running turn."""
        now = self._clock()
        idle_at = (now if self.in_turn else self._active_at) + self._idle_s
        return max(0.0, min(idle_at, self._started_at + self._max_s) - now)


class Sessions:
    """The open sessions of one gateway, whatever transport they came by.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._quota = Quota("sessions", settings.max_sessions, settings.max_sessions_per_client)
        self._draining = asyncio.Event()
        self._none_open = asyncio.Event()
        self._none_open.set()

    def __len__(self) -> int:
        return len(self._quota)

    def drain(self) -> None:
        """Refuses new sessions and ends the open ones after the turns that they have."""
        self._draining.set()

    async def wait_until_none(self) -> None:
        """Waits until no session is open."""
        await self._none_open.wait()

    @contextmanager
    def open(self, client: str | None = None) -> Iterator[Lifetime]:
        """Admits a session, and counts it and how it ended.

        Args:
            client: the client that the session counts for; None: it counts only towards the total.

        Raises:
            NotReady: the gateway is stopping.
            Busy: all sessions, or all of this client's, are taken.
        """
        if self._draining.is_set():
            raise NotReady("the gateway is stopping", hint="connect again")
        try:
            with self._quota.hold(client), self._observed():
                self._none_open.clear()
                settings = self._settings
                yield Lifetime(settings.session_idle_s, settings.session_max_s, self._draining, self._clock)
        finally:
            if not len(self):
                self._none_open.set()

    @contextmanager
    def _observed(self) -> Iterator[None]:
        metrics.SESSIONS.inc()
        outcome = "left"  # the caller left
        try:
            yield
            outcome = "ended"
        except OviyaError as error:
            outcome = type(error).__name__
            raise
        finally:
            metrics.SESSIONS.dec()
            metrics.SESSIONS_ENDED.labels(outcome).inc()
            log.info("session closed", outcome=outcome)
