"""Restarts services of a local mesh that exit.  `oviya up` uses it after the mesh was ready once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oviya.cli.local.process import ServiceProcess
from oviya.cli.local.supervisor import LocalMesh

MAX_RESTARTS = 5
"""Restarts of one service within `WINDOW_S`.  After the next exit it stays down."""
WINDOW_S = 300.0
FIRST_DELAY_S, MAX_DELAY_S = 0.5, 10.0
"""Delay before the first restart.  It doubles with each restart within the window, up to the maximum."""


@dataclass(frozen=True)
class ServiceExit:
    """An unexpected exit of a service.

    Args:
        service: the service.
        how: its exit code or signal, in words.
        last_error: the last error in its log since the start; empty: the log is empty.
        restart: number of the scheduled restart, from 1; None: it stays down.
        delay_s: delay of the restart in seconds.
    """

    service: ServiceProcess
    how: str
    last_error: str
    restart: int | None
    delay_s: float

    def __str__(self) -> str:
        error = f": {self.last_error}" if self.last_error else ""
        if self.restart is None:
            return (
                f"{self.service.name} {self.how}{error}; it stays down after {MAX_RESTARTS} restarts within "
                f"{WINDOW_S / 60:g} minutes (see {self.service.log})"
            )
        count = f"restart {self.restart} of {MAX_RESTARTS}"
        return f"{self.service.name} {self.how}{error}; it starts again in {self.delay_s:g} s ({count})"


class RestartPolicy:
    """Decides whether and when a service is restarted: with increasing delays, up to a limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: deque[float] = deque()

    def next(self) -> tuple[int, float] | None:
        """Counts an exit; returns the number of the restart and its delay in seconds, or None: no restart."""
        now = self._clock()
        while self._at and now - self._at[0] > WINDOW_S:
            self._at.popleft()
        if len(self._at) >= MAX_RESTARTS:
            return None
        delay_s = min(FIRST_DELAY_S * 2 ** len(self._at), MAX_DELAY_S)
        self._at.append(now)
        return len(self._at), delay_s


class Restarter:
    """Restarts the services of a mesh that exit.  The owner of the mesh polls it."""

    def __init__(self, mesh: LocalMesh, clock: Callable[[], float] = time.monotonic) -> None:
        self._mesh = mesh
        self._clock = clock
        self._restarts = {name: RestartPolicy(clock) for name in mesh.services}
        self._due: dict[str, float | None] = {}
        """Time of restart of each exited service; None: it stays down."""

    def check(self) -> Iterator[ServiceExit]:
        """Starts services whose restart is due, and yields each exit once.

        Raises:
            OviyaError: the log of a service cannot be written.
        """
        for service in self._mesh.dead:
            if service.name not in self._due:
                yield self._schedule_restart(service)
        for name, due in list(self._due.items()):
            if due is not None and self._clock() >= due:
                del self._due[name]
                self._mesh.start([name])

    def _schedule_restart(self, service: ServiceProcess) -> ServiceExit:
        following = self._restarts[service.name].next()
        if following is None:
            self._due[service.name] = None
            service.detail = "stays down"
            return ServiceExit(service, service.exit_reason, service.last_error(), None, 0.0)
        number, delay_s = following
        self._due[service.name] = self._clock() + delay_s
        service.detail = f"restart {number} of {MAX_RESTARTS} in {delay_s:g} s"
        return ServiceExit(service, service.exit_reason, service.last_error(), number, delay_s)
