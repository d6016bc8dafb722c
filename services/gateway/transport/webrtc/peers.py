"""All connected browsers: admission, and the end of each."""

from __future__ import annotations

import asyncio

import structlog
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from prometheus_client import Counter, Gauge

from oviya.errors import Busy, NotReady, OviyaError
from oviya.tasks import cancel_and_wait
from services.gateway.ice_policy import IcePolicy
from services.gateway.ice_servers import IceServers
from services.gateway.settings import GatewaySettings
from services.gateway.transport.admission import Admission, AdmissionLimits, Place
from services.gateway.transport.webrtc.ice import check_upstream as check_ice
from services.gateway.transport.webrtc.offer import identify_offer, read_offer
from services.gateway.transport.webrtc.opus_receiver import check_upstream as check_receiver
from services.gateway.transport.webrtc.peer import Conversation, Peer
from services.gateway.transport.webrtc.peer_guard import check_upstream as check_guard

log = structlog.get_logger()

DISPLACED = "newer offers have displaced this one"

PEERS = Gauge("oviya_gateway_peers_open", "Browsers that are connected or connecting")
PEERS_ENDED = Counter("oviya_gateway_peers_total", "Browsers that left, by the reason", ["end"])


class Peers:
    """The peers of one gateway.

    As many are admitted as there may be sessions, or as there are UDP ports for their media, whichever are fewer.

    Raises:
        OviyaError: aiortc or aioice have changed, so that the ICE policy or the bounds on a peer cannot be applied.
    """

    def __init__(self, conversation: Conversation, settings: GatewaySettings) -> None:
        check_ice()
        check_guard()
        check_receiver()
        self._conversation = conversation
        self._settings = settings
        self._policy = IcePolicy(
            settings.udp_port_min, settings.udp_port_max, settings.ice_bind_addresses, settings.announced_addresses
        )
        credential = settings.turn_credential.get_secret_value()
        self.ice_servers = IceServers(settings.ice_servers, settings.turn_username, credential)
        places, scarce = settings.max_sessions, "sessions"
        if (ports := self._policy.port_count) and ports < places:
            log.warning(
                "there are fewer UDP ports than sessions: raise GATEWAY_UDP_PORT_MAX or lower GATEWAY_MAX_SESSIONS",
                ports=ports,
                sessions=places,
            )
            places, scarce = ports, f"UDP ports from {self._policy.port_min} to {self._policy.port_max}"
        self._admission = Admission(
            AdmissionLimits(
                places,
                scarce,
                connecting=settings.max_connecting,
                connecting_per_client=settings.max_connecting_per_client,
                per_client=settings.max_sessions_per_client,
            )
        )
        self._running: dict[Place, asyncio.Task[None]] = {}
        self._peers: dict[Place, Peer] = {}
        self._draining = False

    def __len__(self) -> int:
        return len(self._admission)

    async def answer(self, sdp: str, session_id: str = "", resume_token: str = "", *, client: str = "") -> str:
        """Connects a browser; returns the SDP answer to its offer.

        Args:
            sdp: the offer.
            session_id: name of the session to resume; empty: a new one.
            resume_token: that session's token.
            client: name of the client, for the limits by client.

        Raises:
            InvalidInput: the offer is not valid, too large, or not for a conversation.
            OfferInUse: the offer was answered already, and its browser is connecting or connected.
            Busy: all sessions, all UDP ports or all of this client's places are taken.
            NotReady: the gateway is stopping.
        """
        offer = read_offer(sdp, self._settings.max_sdp_bytes)
        if self._draining:
            raise stopping()
        place = self._admission.admit(client, identify_offer(offer))
        displaced = [task for other, task in self._running.items() if other.displaced]
        for task in displaced:
            task.cancel()
        # Always an explicit list: without one, aiortc uses a public STUN server.
        servers = [RTCIceServer(**server) for server in self.ice_servers.for_browser()]
        connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        peer = self._peers[place] = Peer(
            self._conversation, connection, self._settings, session_id, resume_token, place, self._take_over
        )
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._running[place] = asyncio.create_task(self._serve(place, peer, offer, answered, displaced))
        return await answered

    async def drain(self, grace_s: float) -> None:
        """Refuses offers, ends connections that are not established, and waits for the others.

        Their sessions end when the conversation drains; what is left after `grace_s` seconds is cut off.
        """
        self._draining = True
        for place, task in self._running.items():
            if not place.connected:
                task.cancel()
        if tasks := set(self._running.values()):
            await asyncio.wait(tasks, timeout=grace_s)
        await self.close()

    async def close(self) -> None:
        """Ends all peers at once."""
        self._draining = True
        await cancel_and_wait(*self._running.values())

    def _take_over(self, started: Peer) -> None:
        """Ends the peer whose session `started` has resumed: its page was loaded again, or is open twice."""
        for peer in list(self._peers.values()):
            if peer is not started and peer.session[1] and peer.session == started.session:
                peer.replace()

    async def _serve(
        self,
        place: Place,
        peer: Peer,
        offer: RTCSessionDescription,
        answered: asyncio.Future[str],
        displaced: list[asyncio.Task[None]],
    ) -> None:
        """Serves one peer from its offer to its end; `answered` gets the answer, or the error."""
        end: str = "cancelled"
        failure: Exception | None = None
        PEERS.inc()
        try:
            if displaced:  # their ports become free when they end
                await asyncio.wait(displaced)
            answer = await peer.negotiate(offer, self._policy)
            if not answered.done():  # else the client has left
                answered.set_result(answer)
                end = await peer.run()
        except asyncio.CancelledError:
            end = "displaced" if place.displaced else "cancelled"
            failure = Busy(DISPLACED, retry_after_s=1.0) if place.displaced else stopping()
            raise
        except Exception as error:
            end = "refused" if isinstance(error, OviyaError) else "error"
            if answered.done():
                log.exception("peer failed")
            failure = error
        finally:
            try:
                await peer.close()
            finally:
                PEERS.dec()
                PEERS_ENDED.labels(end).inc()
                del self._running[place], self._peers[place]
                self._admission.release(place)
                log.info("peer left", end=end)
                if not answered.done():
                    answered.set_exception(failure or stopping())


def stopping() -> NotReady:
    """Returns the error of an offer that comes while the gateway stops."""
    return NotReady("the gateway is stopping", hint="try again in a moment")
