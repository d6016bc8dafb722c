"""All browsers that are connected: admission, and the end of each."""

from __future__ import annotations

import asyncio

import structlog
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from prometheus_client import Counter, Gauge

from oviya.errors import Busy, NotReady
from services.gateway.ice import IcePolicy, check_upstream
from services.gateway.ice_servers import IceServers
from services.gateway.offer import read_offer
from services.gateway.peer import Conversation, Peer, PeerLimits

log = structlog.get_logger()

RETRY_AFTER_S = 10.0

PEERS = Gauge("oviya_gateway_peers_open", "Browsers that are connected or connecting")
PEERS_ENDED = Counter("oviya_gateway_peers_total", "Browsers that left, by the reason", ["end"])


class Peers:
    """The peers of one gateway.

    Args:
        conversation: what they talk to.
        ice_policy: where their media flows.
        ice_servers: STUN and TURN servers.
        limits: what one peer may cost.
        max_peers: how many there may be at once.
        max_sdp_bytes: largest offer.

    Raises:
        OviyaError: aiortc or aioice have changed so that `ice_policy` could not be kept.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        ice_policy: IcePolicy | None = None,
        ice_servers: IceServers | None = None,
        limits: PeerLimits | None = None,
        max_peers: int = 64,
        max_sdp_bytes: int = 64 << 10,
    ) -> None:
        check_upstream()
        self._conversation = conversation
        self._policy = ice_policy or IcePolicy()
        self.ice_servers = ice_servers or IceServers()
        self._limits = limits or PeerLimits()
        self._max_peers, self._max_sdp_bytes = max_peers, max_sdp_bytes
        self._running: dict[Peer, asyncio.Task[None]] = {}
        self._negotiating = 0
        self._draining = False

    def __len__(self) -> int:
        return len(self._running) + self._negotiating

    async def answer(self, sdp: str, session_id: str = "", resume_token: str = "") -> str:
        """Connects a browser; returns the SDP answer to its offer.

        Args:
            sdp: the offer.
            session_id: name of the session that the conversation goes on with; empty: a new one.
            resume_token: that session's token.

        Raises:
            InvalidInput: an offer that is none, too large, or asks for something else than a conversation.
            Busy: all sessions or all UDP ports are taken.
            NotReady: the gateway is stopping.
        """
        offer = read_offer(sdp, self._max_sdp_bytes)
        self._check_open()
        if len(self) >= self._max_peers:
            raise Busy(f"all {self._max_peers} sessions are taken", retry_after_s=RETRY_AFTER_S)
        self._negotiating += 1
        PEERS.inc()
        peer = Peer(
            self._conversation, RTCPeerConnection(self._configuration()), self._limits, session_id, resume_token
        )
        try:
            answer = await peer.negotiate(offer, self._policy)
            self._check_open()
        except BaseException:
            PEERS.dec()
            await peer.close()
            raise
        finally:
            self._negotiating -= 1
        self._running[peer] = asyncio.create_task(self._run(peer))
        return answer

    async def drain(self, grace_s: float) -> None:
        """Takes no new peers, lets each finish its running turn within `grace_s`, then ends the rest."""
        self._draining = True
        for peer in self._running:
            peer.finish()
        await self._wait(grace_s)
        await self.close()

    async def close(self) -> None:
        """Ends all peers at once."""
        self._draining = True
        for task in self._running.values():
            task.cancel()
        await self._wait(None)

    def _check_open(self) -> None:
        if self._draining:
            raise NotReady("the gateway is stopping", hint="try again in a moment")

    async def _wait(self, timeout_s: float | None) -> None:
        if tasks := set(self._running.values()):
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _run(self, peer: Peer) -> None:
        end = "cancelled"
        try:
            end = await peer.run()
        except Exception:
            end = "error"
            log.exception("peer failed")
        finally:
            PEERS.dec()
            PEERS_ENDED.labels(end).inc()
            del self._running[peer]
            log.info("peer left", end=end)

    def _configuration(self) -> RTCConfiguration:
        # An explicit list always: without one, aiortc asks a public STUN server.
        servers = [RTCIceServer(**server) for server in self.ice_servers.for_browser()]
        return RTCConfiguration(iceServers=servers)
