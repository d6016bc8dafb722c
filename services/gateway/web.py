"""HTTP and WebRTC together, as the settings say: the browsers' side of the gateway."""

from __future__ import annotations

import asyncio

from services.gateway.http import Gateway, HttpServer, Readiness
from services.gateway.ice import IcePolicy
from services.gateway.ice_servers import IceServers
from services.gateway.peer import Conversation, PeerLimits
from services.gateway.settings import GatewaySettings
from services.gateway.webrtc import Peers


class Web:
    """The page, and the browsers that talk.

    Args:
        conversation: what browsers talk to.
        readiness: what /readyz tells.
        settings: ports, limits, token, origins, ICE.

    Raises:
        OviyaError: the installed aiortc does not fit.
    """

    def __init__(self, conversation: Conversation, readiness: Readiness, settings: GatewaySettings) -> None:
        self._settings = settings
        self.peers = Peers(
            conversation,
            ice_policy=IcePolicy(
                port_min=settings.udp_port_min,
                port_max=settings.udp_port_max,
                bind_addresses=settings.ice_bind_addresses,
                announced_addresses=settings.announced_addresses,
            ),
            ice_servers=IceServers(
                settings.ice_servers, settings.turn_username, settings.turn_credential.get_secret_value()
            ),
            limits=PeerLimits(
                connect_s=settings.webrtc_connect_s,
                idle_s=settings.session_idle_s,
                max_s=settings.session_max_s,
                finish_s=settings.drain_grace_s,
                max_text_chars=settings.max_text_chars,
            ),
            max_peers=settings.max_sessions,
            max_sdp_bytes=settings.max_sdp_bytes,
        )
        gateway = Gateway(
            self.peers,
            readiness,
            token=settings.http_token.get_secret_value(),
            origins=settings.http_origins,
            max_sdp_bytes=settings.max_sdp_bytes,
        )
        self._server = HttpServer(gateway.app(), settings.http_host, settings.http_port)

    @property
    def port(self) -> int:
        """HTTP port, the real one after `start`."""
        return self._server.port

    async def start(self) -> None:
        """Listens.

        Raises:
            OviyaError: the HTTP address cannot be had.
        """
        await self._server.start()

    async def drain(self, grace_s: float | None = None) -> None:
        """Takes no new browsers and lets each finish its running turn; the page stays served.

        Args:
            grace_s: longest time for that in seconds; None: `drain_grace_s`.
        """
        await self.peers.drain(self._settings.drain_grace_s if grace_s is None else grace_s)

    async def close(self) -> None:
        """Ends everything."""
        await asyncio.gather(self.peers.close(), self._server.close())
