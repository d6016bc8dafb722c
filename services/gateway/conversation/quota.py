"""How many calls of a kind one client may have at once."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager

from oviya.errors import Busy
from services.gateway.transport.admission import client_limit

RETRY_AFTER_S = 5.0
"""When a client that was turned away may try again."""


class ClientQuota:
    """Counts the calls of each client.

    Args:
        what: what is counted, for the error message.
        places: how many all clients may have together.
        limit: how many one may have; None: half, without a limit for this machine's own addresses.
    """

    def __init__(self, what: str, places: int, limit: int | None) -> None:
        self._what, self._places, self._limit = what, places, limit
        self._held: Tally[str] = Tally()

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Counts one call of `client` while the context lasts.

        Raises:
            Busy: the client has as many as it may.
        """
        limit = client_limit(client, self._limit, self._places)
        if self._held[client] >= limit:
            raise Busy(
                f"{client} holds all {limit} {self._what} that one address may have",
                retry_after_s=RETRY_AFTER_S,
                hint="GATEWAY_MAX_SESSIONS_PER_CLIENT sets the limit",
            )
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]
