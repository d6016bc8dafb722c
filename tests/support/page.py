"""The gateway's page without a mesh behind it: its files, and a report of six services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.gateway.ice_servers import IceServers
from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.app import GatewayApp, HttpServer


class NoPeers:
    """Opens no session."""

    def __init__(self) -> None:
        self.ice_servers = IceServers()

    async def answer(self, sdp: str, session_id: str = "", resume_token: str = "", *, client: str = "") -> str:
        raise NotImplementedError


class NoReadiness:
    """Says that no service is there."""

    def report(self) -> dict[str, Any]:
        return {"ready": False, "draining": False, "services": {}, "voice": {"name": "", "reason": ""}, "degraded": []}


@asynccontextmanager
async def served_page() -> AsyncIterator[str]:
    """Serves the page; yields its address."""
    settings = GatewaySettings(http_port=0, http_host="127.0.0.1")
    server = HttpServer(GatewayApp(NoPeers(), NoReadiness(), settings).app(), settings)
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.close()
