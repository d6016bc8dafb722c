"""One service as a process: settings, logs, server, warm-up, metrics, drain."""

from __future__ import annotations

import asyncio
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Generic, TypeVar

import structlog
from grpc import aio
from pydantic import ValidationError

from oviya.errors import OviyaError
from oviya.mesh.logs import configure_logs
from oviya.mesh.memory import release_freed_memory
from oviya.mesh.metrics import serve_metrics
from oviya.mesh.server import MeshServer
from oviya.mesh.settings import ServiceSettings

log = structlog.get_logger()

S = TypeVar("S", bound=ServiceSettings)


class Service(ABC, Generic[S]):
    """What a service tells the runtime.

    The order of a life: `register`, listening with NOT_SERVING, `start`, SERVING; then SIGTERM or `break_down`,
    NOT_SERVING, `drain`, running calls finish, `close`.
    """

    name: ClassVar[str]
    """Short name, e.g. "csm"."""
    grpc_services: ClassVar[tuple[str, ...]]
    """Full names of its gRPC services, e.g. "oviya.v1.CsmService"."""

    def __init__(self, settings: S) -> None:
        self.settings = settings
        self.broken = asyncio.Event()
        """Set once the service can never work again."""

    def break_down(self) -> None:
        """Ends the service for good, because something that it needs is lost and only a new process gets it back.

        Health says NOT_SERVING at once, the process ends with 1.  The caller logs why.  Call it on the event loop.
        """
        self.broken.set()

    @abstractmethod
    def register(self, server: aio.Server) -> None:
        """Adds the servicers.  Calls reach them only after `start`."""

    @abstractmethod
    async def start(self) -> None:
        """Loads what is needed and runs one inference: ready means warm.

        Raises:
            OviyaError: the service cannot work; the process says why in one line and ends.
        """

    async def drain(self) -> None:
        """Called once callers know that the service stops, before running calls are waited for."""

    async def close(self) -> None:
        """Releases what `start` took; every call has ended."""


class RunningService(Generic[S]):
    """A service on its server."""

    def __init__(self, service: Service[S]) -> None:
        self.service = service
        self.server = MeshServer(service.settings, service.grpc_services)
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens, warms the service up and opens it.

        Raises:
            OviyaError: the port is taken or the service cannot work.
        """
        self.service.register(self.server.grpc)
        await self.server.listen()
        try:
            await self.service.start()
            await asyncio.to_thread(release_freed_memory)
        except BaseException:
            await self.server.grpc.stop(None)
            raise
        await self.server.set_serving(True)
        self._watch = asyncio.create_task(self._leave_once_broken())

    async def stop(self) -> None:
        """Drains and closes."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        await self.server.announce_drain()
        await self.service.drain()
        await self.server.stop()
        await self.service.close()

    async def _leave_once_broken(self) -> None:
        await self.service.broken.wait()
        await self.server.set_serving(False)


def run(service_type: Callable[[S], Service[S]], settings_type: type[S]) -> None:
    """Runs a service until SIGTERM or SIGINT; exits with 1 and one clear line when it cannot start, or breaks down."""
    try:
        settings = settings_type()
    except ValidationError as error:
        prefix = settings_type.model_config.get("env_prefix", "")
        for fault in error.errors():
            variable = f"{prefix}{'_'.join(map(str, fault['loc']))}".upper()
            print(f"setting {variable}={fault['input']!r} is refused: {fault['msg']}", file=sys.stderr)
        sys.exit(1)
    service = service_type(settings)
    configure_logs(service.name, settings)
    try:
        asyncio.run(_serve(service))
    except OviyaError as error:
        log.error("cannot start", reason=str(error))  # the reason is enough, its stack is noise
        sys.exit(1)
    if service.broken.is_set():
        sys.exit(1)  # a new process may work


async def _serve(service: Service[S]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    settings = service.settings
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
    if not starting.done():  # told to stop while still warming up
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        return
    try:
        starting.result()
        log.info("serving", address=f"{settings.host}:{running.server.port}")
        await waiting
    finally:
        waiting.cancel()
    log.info("draining", broken=service.broken.is_set(), wait_s=settings.drain_wait_s, grace_s=settings.drain_grace_s)
    await running.stop()
    log.info("stopped")


async def _first_of(*events: asyncio.Event) -> None:
    """Returns once one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
