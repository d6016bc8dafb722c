"""A real server on a free port."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from grpc import aio

from oviya.mesh.channel import open_channel
from oviya.mesh.service import RunningService, Service


@dataclass
class ServedForTest:
    """A service that runs, and a channel to it."""

    running: RunningService[Any]
    address: str
    channel: aio.Channel

    @property
    def service(self) -> Any:
        return self.running.service


@asynccontextmanager
async def serve_for_test(service: Service[Any]) -> AsyncGenerator[ServedForTest]:
    """Starts `service` on a free port of the loopback address and drains it at the end."""
    service.settings.host, service.settings.port = "127.0.0.1", 0
    service.settings.drain_wait_s = 0.0
    running = RunningService(service)
    await running.start()
    address = f"127.0.0.1:{running.server.port}"
    channel = open_channel(address, service.grpc_services[0])
    try:
        yield ServedForTest(running, address, channel)
    finally:
        await channel.close()
        await running.stop()
