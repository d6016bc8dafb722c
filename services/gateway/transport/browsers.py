"""The transport of browsers: HTTP and WebRTC, built from the settings."""

from __future__ import annotations

import asyncio

from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.app import GatewayApp, HttpServer, ReadinessReport
from services.gateway.transport.webrtc.peer import Conversation
from services.gateway.transport.webrtc.peers import Peers


class BrowserTransport:
    """Serves the page and connects browsers.

    Args:
        conversation: what browsers talk to.
        readiness: source of /readyz.
        settings: ports, limits, token, origins, ICE.

    Raises:
        OviyaError: the installed aiortc is not supported.
    """

    def __init__(self, conversation: Conversation, readiness: ReadinessReport, settings: GatewaySettings) -> None:
        self.peers = Peers(conversation, settings)
        self._server = HttpServer(GatewayApp(self.peers, readiness, settings).app(), settings)

    @property
    def port(self) -> int:
        """HTTP port; after `start`, the actual one."""
        return self._server.port

    async def start(self) -> None:
        """Starts to listen.

        Raises:
            OviyaError: the HTTP address cannot be bound.
        """
        await self._server.start()

    async def drain(self, grace_s: float) -> None:
        """Refuses new browsers and waits at most `grace_s` seconds for the others; the page stays served."""
        await self.peers.drain(grace_s)

    async def close(self) -> None:
        """Ends all connections and stops listening."""
        await asyncio.gather(self.peers.close(), self._server.close())
