"""Admission of browsers: limits on connections in total, by client, and on those that are not established yet.

An offer costs its sender one HTTP request, but the gateway a connection and a UDP port for as long as it waits for the
browser.  So the places of connections that are not established are limited.  When they run out, one that has received
no packet is displaced, from the client with the most of them.  A browser sends its first packet within one round trip;
a client that only sends offers displaces its own.

This counts connections.  Sessions are counted by the conversation (`conversation/lifetime.py`).
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oviya.errors import Busy, OviyaError
from services.gateway.client_address import client_limit

RETRY_AFTER_S = 10.0
"""Seconds after which to try again when all places are taken."""
CONNECTING_RETRY_S = 1.0
"""Seconds after which to try again when too many browsers are connecting: about the time that one takes."""


class OfferInUse(OviyaError):
    """The same offer was answered already; an offer makes one connection."""


@dataclass(frozen=True)
class AdmissionLimits:
    """Limits on places.

    Args:
        places: places in total.
        scarce: name of what is used up when all places are taken, for the error message.
        connecting: places that may be not connected yet; None: three quarters of all.
        connecting_per_client: the same for one client.
        per_client: places of one client; None: the default of `client_limit`.
        stuck_s: seconds after which a browser that has sent a packet, but has not connected, may be displaced.
    """

    places: int = 64
    scarce: str = "sessions"
    connecting: int | None = None
    connecting_per_client: int = 8
    per_client: int | None = None
    stuck_s: float = 5.0

    @property
    def max_connecting(self) -> int:
        """Limit on places that are not connected yet."""
        return max(1, self.places * 3 // 4) if self.connecting is None else self.connecting

    def max_per_client(self, client: str) -> int:
        """Limit on the places of one client."""
        return client_limit(client, self.per_client, self.places)


@dataclass(eq=False)
class Place:
    """One browser's place.

    Args:
        client: name of the client.
        offer: hash of the offer.
        since: when it was admitted.
        heard: whether a packet of the browser has come.
        connected: whether it is connected.
        displaced: whether the place was given to another browser; it no longer counts, and its connection must end.
    """

    client: str
    offer: bytes
    since: float
    heard: bool = False
    connected: bool = False
    displaced: bool = False


class Admission:
    """The places of one gateway.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, limits: AdmissionLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._places: set[Place] = set()

    def __len__(self) -> int:
        return len(self._places)

    def admit(self, client: str, offer: bytes) -> Place:
        """Returns a new place; marks another one as displaced if that is needed.

        Raises:
            OfferInUse: the offer has a place already.
            Busy: no place is free, and none can be displaced.
        """
        if any(place.offer == offer for place in self._places):
            raise OfferInUse("this offer was answered already", hint="create a new offer for a new connection")
        held = [place for place in self._places if not place.displaced]
        own = [place for place in held if place.client == client]
        connecting = [place for place in held if not place.connected]
        own_limit = self._limits.max_per_client(client)
        own_full = own_limit < self._limits.places and len(own) >= own_limit
        if own_full and all(place.connected for place in own):
            raise Busy(
                f"{client or 'this client'} holds all {own_limit} sessions that one address may have",
                retry_after_s=RETRY_AFTER_S,
                hint="GATEWAY_MAX_SESSIONS_PER_CLIENT sets the limit",
            )
        own_connecting = [place for place in own if not place.connected]
        if own_full or len(own_connecting) >= self._limits.connecting_per_client:
            self._displace(own_connecting)
        elif len(held) >= self._limits.places:
            self._displace(self._of_the_most(connecting, client), f"all {len(held)} {self._limits.scarce} are taken")
        elif len(connecting) >= self._limits.max_connecting:
            self._displace(self._of_the_most(connecting, client))
        place = Place(client, offer, self._clock())
        self._places.add(place)
        return place

    def release(self, place: Place) -> None:
        """Frees a place."""
        self._places.discard(place)

    def _of_the_most(self, connecting: list[Place], client: str) -> list[Place]:
        """Returns the places of the clients with the most, if these have more than `client`, and those of `client`."""
        count = Tally(place.client for place in connecting)
        others = {other for other in count if count[other] > count[client]}
        most = max((count[other] for other in others), default=0)
        return [place for place in connecting if count[place.client] == most or place.client == client]

    def _displace(self, places: Iterable[Place], problem: str = "too many browsers are connecting") -> None:
        """Displaces the oldest of `places` without a packet, or else the oldest that is stuck.

        Raises:
            Busy: there is none: all browsers have just sent their first packet.
        """
        stuck = self._clock() - self._limits.stuck_s
        candidates = [place for place in places if not place.heard or place.since <= stuck]
        if not candidates:
            retry_s = CONNECTING_RETRY_S if "connecting" in problem else RETRY_AFTER_S
            raise Busy(problem, retry_after_s=retry_s)
        oldest = min(candidates, key=lambda place: (place.heard, place.since))
        oldest.displaced = True
