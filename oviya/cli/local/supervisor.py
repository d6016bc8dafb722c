"""Starts, watches and stops the mesh as local processes.

`oviya up` and the end-to-end tests use it.  Nothing runs in the background: the owner of a `LocalMesh` calls `poll` a
few times a second, or `wait_ready`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from oviya.cli.local.plan import DRAIN_GRACE_S, GATEWAY, Plan
from oviya.cli.local.process import ServiceProcess, State
from oviya.errors import OviyaError, Timeout

POLL_S = 0.1
STOP_TIMEOUT_S = DRAIN_GRACE_S + 10.0
"""Time from SIGTERM until a service that still runs is killed."""


class LocalMesh:
    """All services of a plan, with one log each in `log_dir`.  As a context manager it stops them on exit."""

    def __init__(self, plan: Plan, log_dir: Path) -> None:
        self.plan = plan
        self.log_dir = log_dir
        self.services = {name: ServiceProcess(name, plan, log_dir / f"{name}.log") for name in plan.ports}

    def start(self, names: Iterable[str] | None = None) -> None:
        """Starts all services, or the named ones.

        Raises:
            OviyaError: a port is taken, or the logs cannot be written.
        """
        if names is None:
            self.plan.check_ports()
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            for name in self.services if names is None else names:
                self.services[name].start()
        except OSError as error:
            raise OviyaError(f"cannot write logs to {self.log_dir}: {error.strerror}") from error

    def poll(self) -> None:
        """Updates the state of every service without blocking."""
        for service in self.services.values():
            service.poll()

    @property
    def dead(self) -> list[ServiceProcess]:
        """The services that exited unexpectedly."""
        return [service for service in self.services.values() if service.state is State.DIED]

    def wait_ready(
        self, timeout_s: float, names: Iterable[str] | None = None, tick: Callable[[], bool] = lambda: False
    ) -> bool:
        """Waits until all services, or the named ones, are ready.  Returns False if `tick` ended the wait.

        Args:
            timeout_s: longest time to wait.
            names: the services to wait for.
            tick: called while waiting; returns whether to stop.

        Raises:
            ServiceDied: a service exited.
            Timeout: they were not ready in time.
        """
        wanted = [self.services[name] for name in (self.services if names is None else names)]
        deadline = time.monotonic() + timeout_s
        while True:
            self.poll()
            if tick():
                return False
            missing = [service for service in wanted if service.state is not State.READY]
            if not missing:
                return True
            for service in missing:
                if service.state is State.DIED:
                    raise service.exit_error()
            if time.monotonic() > deadline:
                waiting = ", ".join(f"{service.name} ({service.detail or service.state})" for service in missing)
                raise Timeout(f"not ready after {timeout_s:g} s: {waiting}", hint=f"see the logs in {self.log_dir}")
            time.sleep(POLL_S)

    def stop(self, names: Iterable[str] | None = None, tick: Callable[[], None] = lambda: None) -> list[str]:
        """Stops all services, or the named ones: the gateway first, so that running turns can finish.

        Args:
            names: the services to stop.
            tick: called while waiting.

        Returns:
            The services that did not exit in time and were killed.
        """
        wanted = [self.services[name] for name in (self.services if names is None else names)]
        killed: list[str] = []
        for group in ([s for s in wanted if s.name == GATEWAY], [s for s in wanted if s.name != GATEWAY]):
            for service in group:
                service.terminate()
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while running := [service for service in group if service.state is State.STOPPING]:
                for service in running:
                    if time.monotonic() > deadline:
                        killed.append(service.name)
                        service.kill()
                    service.poll()
                tick()
                time.sleep(POLL_S / 2)
        return killed

    def kill(self) -> None:
        """Kills all services."""
        for service in self.services.values():
            service.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self.kill()
