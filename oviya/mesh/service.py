"""Runs a service as a process: settings, logs, server, warm-up, metrics, drain."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from grpc import aio
from pydantic import ValidationError
from pydantic_settings import SettingsError

from oviya.errors import OviyaError
from oviya.mesh.background import BackgroundLoops
from oviya.mesh.deadline import Deadline
from oviya.mesh.logs import configure_logs, log_loop_failure
from oviya.mesh.memory import release_freed_memory
from oviya.mesh.metrics import serve_metrics
from oviya.mesh.redaction import hide_url_passwords
from oviya.mesh.refusals import describe_refusals, variable_name
from oviya.mesh.server import MeshServer
from oviya.mesh.settings import ServiceSettings
from oviya.tasks import cancel_and_wait

log = structlog.get_logger()

S = TypeVar("S", bound=ServiceSettings)

CLOSE_SHARE, MAX_CLOSE_S = 0.25, 6.0
"""Share of the drain grace that is reserved for `Service.close`, which persists data, and its maximum in seconds."""
MIN_CLOSE_S = 0.5
"""Minimum time in seconds for `Service.close`, even after the grace period."""
EXIT_SLACK_S = 1.0
"""Time in seconds from the deadline of a stop until the process is killed."""


class Service(ABC, Generic[S]):
    """Base class of the services.

    Life cycle: `register`, NOT_SERVING, `start`, SERVING; then SIGTERM or `break_down`, NOT_SERVING, `drain`, running
    calls finish, `close`.  All steps of a stop share one deadline: `drain_wait_s` plus `drain_grace_s` from its
    beginning.
    """

    name: ClassVar[str]
    """Short name, e.g. "csm"."""
    grpc_services: ClassVar[tuple[str, ...]]
    """Full names of its gRPC services, e.g. "oviya.v1.CsmService"."""

    def __init__(self, settings: S) -> None:
        self.settings = settings
        self.broken = asyncio.Event()
        """Set when the service cannot recover."""
        self.loops = BackgroundLoops(self._loop_changed)
        """Background loops: started in `start`, cancelled before `close`.  Health reports NOT_SERVING while an
        essential loop is down."""
        self.health_changed = asyncio.Event()
        """Set when `healthy` may have changed; the runtime clears it."""

    @property
    def healthy(self) -> bool:
        """Whether the service is not broken and all of its essential loops are running."""
        return not self.broken.is_set() and not self.loops.essential_down

    def break_down(self) -> None:
        """Stops the service after an unrecoverable failure, so that a new process replaces it.

        Health reports NOT_SERVING at once, and the process exits with 1.  The caller logs the reason.  Call it on the
        event loop.
        """
        self.broken.set()
        self.health_changed.set()

    def report_loop(self, name: str, problem: str) -> None:
        """Called when one of `loops` ended, with the problem, and with "" when it was restarted."""

    def _loop_changed(self, name: str, problem: str) -> None:
        self.health_changed.set()
        self.report_loop(name, problem)

    @abstractmethod
    def register(self, server: aio.Server) -> None:
        """Adds the servicers.  They receive calls only after `start`."""

    @abstractmethod
    async def start(self) -> None:
        """Loads the model and runs one inference: ready means warm.

        Raises:
            OviyaError: the service cannot start; the process logs the reason and exits.
        """

    async def drain(self, deadline: Deadline) -> None:
        """Called after NOT_SERVING was reported, before the server waits for running calls.

        The time for `close` is not part of the deadline.
        """

    async def close(self, deadline: Deadline) -> None:
        """Persists data, then releases resources.  All calls have ended.  It is cancelled at the deadline."""


class RunningService(Generic[S]):
    """A service on its server."""

    def __init__(self, service: Service[S]) -> None:
        self.service = service
        self.server = MeshServer(service.settings, service.grpc_services)
        self._follow: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Binds the port, warms the service up and accepts calls.

        Raises:
            OviyaError: the address is open to others, the port is taken or the service cannot start.
        """
        check_hosts(self.service.settings)
        self.service.register(self.server.grpc)
        await self.server.listen()
        try:
            await self.service.start()
            await asyncio.to_thread(release_freed_memory)
        except BaseException:
            await self.service.loops.close()
            await self.server.grpc.stop(None)
            raise
        await self.server.set_serving(True)
        self._follow = self.service.loops.start("health", self._follow_health)

    async def stop(self, deadline: Deadline | None = None) -> None:
        """Drains and closes within the deadline, by default the settings' times from now."""
        settings = self.service.settings
        deadline = deadline or stop_deadline(settings)
        before_close = deadline.earlier(min(CLOSE_SHARE * settings.drain_grace_s, MAX_CLOSE_S))
        await cancel_and_wait(self._follow)
        await self.server.announce_drain()
        await _within(before_close.left_s, self.service.drain(before_close), "drain")
        await self.server.stop(before_close.left_s)
        await self.service.loops.close()
        await _within(max(deadline.left_s, MIN_CLOSE_S), self.service.close(deadline), "close")

    async def _follow_health(self) -> None:
        while True:
            self.service.health_changed.clear()
            healthy = self.service.healthy
            if healthy != self.server.serving:
                await self.server.set_serving(healthy)
            await self.service.health_changed.wait()


def stop_deadline(settings: ServiceSettings) -> Deadline:
    """Returns the deadline of a stop that begins now."""
    return Deadline(settings.drain_wait_s + settings.drain_grace_s)


def check_hosts(settings: ServiceSettings) -> None:
    """Checks that no unauthenticated port is reachable from other machines.

    Raises:
        OviyaError: one is, and `allow_unauthenticated` is not set.
    """
    hosts = settings.open_hosts()
    if hosts and not settings.allow_unauthenticated:
        prefix = str(settings.model_config.get("env_prefix", ""))
        shown = ", ".join(f"{variable_name(host, prefix)}={getattr(settings, host)}" for host in hosts)
        raise OviyaError(
            f"{shown}: other machines could call, and nothing there asks for a token",
            hint=f"use 127.0.0.1, or set {variable_name('allow_unauthenticated', prefix)}=true on a private network",
        )


async def _within(seconds: float, step: Coroutine[Any, Any, None], name: str) -> None:
    """Runs a step of a stop.  A time-out or a failure is logged, and the stop continues."""
    try:
        async with asyncio.timeout(seconds):
            await step
    except TimeoutError:
        log.warning("a step of the stop was cut off", step=name, after_s=round(seconds, 1))
    except Exception:
        log.exception("a step of the stop failed", step=name)


def run(service_type: Callable[[S], Service[S]], settings_type: type[S]) -> None:
    """Runs a service until SIGTERM or SIGINT.  Exits with 1 and a one-line reason if it cannot start or breaks down."""
    settings = read_settings(settings_type)
    configure_logs(str(settings.model_config.get("env_prefix", "")).rstrip("_").lower(), settings)
    try:
        broken = asyncio.run(_serve(service_type, settings))
    except OviyaError as error:
        log.error("cannot start", reason=str(error))  # a traceback would add nothing
        sys.exit(1)
    if broken:
        sys.exit(1)  # a new process may work


def read_settings(settings_type: type[S]) -> S:
    """Reads settings from the environment.  Exits with 1 and one line per invalid setting."""
    try:
        return settings_type()
    except ValidationError as error:
        lines = describe_refusals(error, settings_type)
    except (OviyaError, SettingsError) as error:  # not raised by our validators, but still no traceback
        lines = [f"settings refused: {hide_url_passwords(' '.join(str(error).split()))}"]
    print("\n".join(lines), file=sys.stderr)
    sys.exit(1)


async def _serve(service_type: Callable[[S], Service[S]], settings: S) -> bool:
    """Runs the service and returns whether it broke down."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_failure)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = service_type(settings)
    check_hosts(settings)
    if settings.metrics_port is not None:
        try:
            port = serve_metrics(settings.host, settings.metrics_port)
        except OSError as error:
            raise OviyaError(f"cannot serve metrics on {settings.host}:{settings.metrics_port}: {error}") from error
        log.info("metrics", url=f"http://{settings.host}:{port}/metrics")
    running = RunningService(service)
    starting = asyncio.ensure_future(running.start())
    waiting = asyncio.ensure_future(_first_of(stopping, service.broken))
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # stopped during warm-up
        _exit_after(stop_deadline(settings), 1)
        await cancel_and_wait(starting)
        return service.broken.is_set()
    try:
        starting.result()
        gc.freeze()  # what is alive now lives as long as the process; collections, a tenth of the CPU time, skip it
        log.info("serving", address=f"{settings.host}:{running.server.port}")
        await waiting
    finally:
        waiting.cancel()
    log.info("draining", broken=service.broken.is_set(), wait_s=settings.drain_wait_s, grace_s=settings.drain_grace_s)
    deadline = stop_deadline(settings)
    _exit_after(deadline, 1)
    await running.stop(deadline)
    log.info("stopped")
    return service.broken.is_set()


def _exit_after(deadline: Deadline, code: int) -> None:
    """Kills the process shortly after `deadline`, from a thread, in case the event loop is blocked."""

    def end() -> None:
        log.critical("the process did not end in time and is ended")
        os._exit(code)

    timer = threading.Timer(max(deadline.left_s, MIN_CLOSE_S) + EXIT_SLACK_S, end)
    timer.daemon = True
    timer.start()


async def _first_of(*events: asyncio.Event) -> None:
    """Waits until one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
