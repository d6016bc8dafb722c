"""Background loops and tasks.  One that ends unexpectedly is logged and counted; loops are restarted.

Imports no gRPC, so that engines can use it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from oviya.mesh import metrics
from oviya.tasks import cancel_and_wait

log = structlog.get_logger()

FIRST_PAUSE_S = 0.5
"""Delay before a loop is restarted.  It doubles with each restart in quick succession."""
LONGEST_PAUSE_S = 30.0
STABLE_S = 60.0
"""After a run of this length the delay is reset."""


Loop = Callable[[], Coroutine[Any, Any, None]]


class BackgroundLoops:
    """Runs loops for the lifetime of their service.

    A loop that raises or returns is logged, counted in `oviya_loop_failures_total`, listed in `down`, and restarted
    after a delay.

    Args:
        on_change: called with the loop's name and the problem; an empty problem: the loop was restarted.
        first_pause_s: delay before the first restart.
    """

    def __init__(
        self,
        on_change: Callable[[str, str], object] = lambda _name, _problem: None,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._on_change = on_change
        self._first_pause_s = first_pause_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._essential: set[str] = set()
        self.down: dict[str, str] = {}
        """Loops that wait for their restart, and why they ended."""

    def start(self, name: str, loop: Loop, *, essential: bool = False) -> asyncio.Task[None]:
        """Runs `loop` until `close`, or until the returned task is cancelled.

        Args:
            name: short name for logs, metrics and health; it becomes a metric label, so there must be few names.
            loop: returns the coroutine; called again for every restart.
            essential: whether the service is unhealthy while the loop is down.
        """
        if essential:
            self._essential.add(name)
        task = asyncio.create_task(self._keep_running(name, loop), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def essential_down(self) -> bool:
        """Whether an essential loop is down."""
        return not self._essential.isdisjoint(self.down)

    async def close(self) -> None:
        """Cancels all loops and waits for them."""
        await cancel_and_wait(*self._tasks)

    async def _keep_running(self, name: str, loop: Loop) -> None:
        pause_s = self._first_pause_s
        while True:
            started = time.monotonic()
            problem = "it returned"
            try:
                await loop()
            except Exception as error:
                problem = type(error).__name__
                log.exception("a background loop ended", loop=name)
            else:
                log.error("a background loop ended", loop=name, reason=problem)
            metrics.LOOP_FAILURES.labels(name).inc()
            if time.monotonic() - started >= STABLE_S:
                pause_s = self._first_pause_s
            self.down[name] = problem
            self._report(name, f"the loop {name} ended ({problem}) and is restarted in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            del self.down[name]
            self._report(name, "")

    def _report(self, name: str, problem: str) -> None:
        try:
            self._on_change(name, problem)
        except Exception:  # the loop must be restarted even if the callback fails
            log.exception("the state of a background loop could not be reported", loop=name)


def background_task(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Starts a task that is not awaited.  A failure is logged and counted in `oviya_loop_failures_total`."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", task=name, exc_info=error)
            metrics.LOOP_FAILURES.labels(name).inc()

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task
