"""A UDP relay on the loopback address that loses and delays packets of a WebRTC connection."""

from __future__ import annotations

import asyncio
import random
import re
from types import TracebackType
from typing import Any, Self

LOOPBACK = "127.0.0.1"
CANDIDATE = re.compile(r"(?m)^(a=candidate:\S+ \d+ udp \d+ )(\S+) (\d+) (typ host.*?)(\r?)$", re.IGNORECASE)


class LossyRelay:
    """Stands between a caller and the gateway: both get its addresses in place of each other's.

    Args:
        loss: share of the packets that are lost, in each direction, 0 to 1.
        jitter_s: each packet is delayed by a random time from 0 to this, in seconds, so that some overtake others.
        seed: of the random numbers.

    Attributes:
        faulty: whether packets are lost and delayed now.
        lost: packets that were lost so far.
    """

    def __init__(self, loss: float, jitter_s: float, seed: int = 0) -> None:
        self.faulty = False
        self.lost = 0
        self._loss, self._jitter_s, self._random = loss, jitter_s, random.Random(seed)
        self._to_caller = _Side(self)
        self._to_gateway = _Side(self)
        self._to_caller.other, self._to_gateway.other = self._to_gateway, self._to_caller

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for side in (self._to_caller, self._to_gateway):
            await loop.create_datagram_endpoint(lambda side=side: side, local_addr=(LOOPBACK, 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for side in (self._to_caller, self._to_gateway):
            side.transport.close()

    def through_offer(self, sdp: str) -> str:
        """Returns the caller's offer with the relay's address in place of the caller's."""
        return self._through(sdp, self._to_caller, self._to_gateway)

    def through_answer(self, sdp: str) -> str:
        """Returns the gateway's answer with the relay's address in place of the gateway's."""
        return self._through(sdp, self._to_gateway, self._to_caller)

    def _through(self, sdp: str, towards: _Side, shown: _Side) -> str:
        first = CANDIDATE.search(sdp)  # of the audio; the data channel is bundled with it
        if first is None or first[2] != LOOPBACK:
            raise ValueError(f"the description has no UDP candidate on {LOOPBACK}")
        towards.peer = (LOOPBACK, int(first[3]))
        port = shown.transport.get_extra_info("sockname")[1]
        return CANDIDATE.sub(lambda match: f"{match[1]}{LOOPBACK} {port} {match[4]}{match[5]}", sdp)

    def forward(self, data: bytes, side: _Side) -> None:
        """Sends a packet out of `side`, or loses it."""
        if not self.faulty:
            side.send(data)
        elif self._random.random() < self._loss:
            self.lost += 1
        else:
            asyncio.get_running_loop().call_later(self._random.uniform(0, self._jitter_s), side.send, data)


class _Side(asyncio.DatagramProtocol):
    """One socket of the relay.

    Attributes:
        peer: whom it talks to.
        other: the other socket.
    """

    def __init__(self, relay: LossyRelay) -> None:
        self.peer: tuple[str, int] | None = None
        self.other = self
        self._relay = relay

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.forward(data, self.other)

    def send(self, data: bytes) -> None:
        if self.peer is not None and not self.transport.is_closing():
            self.transport.sendto(data, self.peer)
