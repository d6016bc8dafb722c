"""The gRPC server of a service: health by service name, reflection, keepalive, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from oviya.errors import OviyaError
from oviya.mesh import metrics
from oviya.mesh.deadline import Deadline
from oviya.mesh.interceptor import CallInterceptor
from oviya.mesh.settings import ServiceSettings

log = structlog.get_logger()

KEEPALIVE_S = 60
"""Interval between keepalive pings.  Servers disconnect clients that ping more often than permitted (gRFC A8)."""
MIN_CLIENT_PING_S = 9
"""Shortest permitted interval between a client's pings.  Many clients use 10 s; early timers are tolerated."""
LAST_WRITES_S = 0.5
"""Time in seconds for the last writes of ended calls, while health watches keep the server busy."""
FIXED_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 20))
"""Channel options that fix the flow-control window of a stream.  gRPC's BDP probing can grow it beyond 6 MB.  Without
it a sender gets about 1 MB ahead of its reader: half a minute of 16-bit audio at 16 kHz."""


class MeshServer:
    """A gRPC server.

    Args:
        settings: address, limits and drain times.
        service_names: full names of the gRPC services, for health and reflection.
    """

    def __init__(self, settings: ServiceSettings, service_names: Sequence[str]) -> None:
        self._settings = settings
        self._names = list(service_names)
        self._ready = False
        self._health = health.aio.HealthServicer()
        self._interceptor = CallInterceptor(lambda: self._ready, max_calls=settings.max_concurrent_rpcs)
        self.grpc = aio.server(
            interceptors=[self._interceptor],
            options=[
                ("grpc.so_reuseport", 0),  # with it a second server binds the same port silently
                ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
                ("grpc.http2.min_ping_interval_without_data_ms", round(MIN_CLIENT_PING_S * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1000)),
                ("grpc.max_connection_age_grace_ms", int(settings.max_connection_age_grace_s * 1000)),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                *FIXED_WINDOW,
            ],
        )
        self.port = 0

    async def listen(self) -> None:
        """Binds the port; health checks report NOT_SERVING.

        Raises:
            OviyaError: the port is not available.
        """
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        if self._settings.reflects:
            health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            reflection.enable_server_reflection([*self._names, health_name, reflection.SERVICE_NAME], self.grpc)
        await self.set_serving(False)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self.grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise OviyaError(
                f"cannot listen on {address}",
                hint="another program uses the port, or the host is not this machine's",
            ) from error
        await self.grpc.start()

    @property
    def calls(self) -> int:
        """Running calls, without health checks and reflection."""
        return self._interceptor.calls

    @property
    def serving(self) -> bool:
        """Whether calls are accepted."""
        return self._ready

    async def set_serving(self, serving: bool) -> None:
        """Accepts or refuses calls, and notifies health watches."""
        self._ready = serving
        metrics.SERVING.set(int(serving))
        state = health_pb2.HealthCheckResponse
        for name in ("", *self._names):
            await self._health.set(name, state.SERVING if serving else state.NOT_SERVING)

    async def announce_drain(self) -> None:
        """Reports NOT_SERVING while calls are still accepted, and waits `drain_wait_s` for callers to notice."""
        await self._health.enter_graceful_shutdown()
        metrics.SERVING.set(0)
        await asyncio.sleep(self._settings.drain_wait_s)

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, waits up to `grace_s` seconds for running calls, then cancels them.

        It does not wait for health watches, which would always use up the grace period.
        """
        self._ready = False
        deadline = Deadline(grace_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._interceptor.wait_until_idle()
        await self.grpc.stop(min(deadline.left_s, LAST_WRITES_S))
