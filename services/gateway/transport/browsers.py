"""The transport of browsers: HTTP and WebRTC, built from the settings."""

from __future__ import annotations

import asyncio
import socket

from services.gateway.client_address import ClientAddresses
from services.gateway.ice_policy import IcePolicy
from services.gateway.ice_servers import IceServers
from services.gateway.settings import GatewaySettings
from services.gateway.transport.admission import AdmissionLimits
from services.gateway.transport.http.app import GatewayApp, HttpServer, ReadinessReport
from services.gateway.transport.http.connections import HttpLimits
from services.gateway.transport.webrtc.peer import Conversation, PeerLimits
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
                first_packet_s=settings.webrtc_first_packet_s,
                connect_s=settings.webrtc_connect_s,
                max_text_chars=settings.max_text_chars,
            ),
            admission=AdmissionLimits(
                connecting=settings.max_connecting,
                connecting_per_client=settings.max_connecting_per_client,
                per_client=settings.max_sessions_per_client,
            ),
            max_peers=settings.max_sessions,
            max_sdp_bytes=settings.max_sdp_bytes,
        )
        clients = ClientAddresses(settings.trusted_proxies)
        limits = HttpLimits(
            connections=settings.http_max_connections,
            connections_per_client=settings.http_max_connections_per_client,
            header_s=settings.http_header_s,
            body_s=settings.http_body_s,
            request_s=settings.http_request_s,
            keepalive_s=settings.http_keepalive_s,
        )
        gateway = GatewayApp(
            self.peers,
            readiness,
            token=settings.http_token.get_secret_value(),
            origins=settings.http_origins,
            hosts=[*settings.http_hosts, *own_names(settings.http_host)],
            clients=clients,
            metrics=settings.http_metrics,
            max_sdp_bytes=settings.max_sdp_bytes,
            body_s=limits.body_s,
        )
        self._server = HttpServer(gateway.app(), settings.http_host, settings.http_port, limits=limits, clients=clients)

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


def own_names(listens_on: str) -> list[str]:
    """Returns the names by which browsers of the local network reach this machine, and the one that it listens on.

    They are the host name, also without its domain, and the mDNS name: an outsider cannot publish them in public DNS.
    """
    name = socket.gethostname()
    short = name.partition(".")[0]
    return [listens_on, name, short, f"{short}.local"]
