"""How many calls of a kind may run at once: all together, and those of one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from oviya.errors import Busy
from services.gateway.client_address import client_limit

RETRY_AFTER_S = 5.0
"""Time in seconds after which a refused caller may try again."""


class Quota:
    """Counts running calls.

    Args:
        what: what is counted, for the error message.
        per_client: calls of one client at once; None: the default of `client_limit`.
    """

    def __init__(self, what: str, limit: int, per_client: int | None = None) -> None:
        self._what, self._limit, self._per_client = what, limit, per_client
        self._count = 0
        self._by_client: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def hold(self, client: str | None = None) -> Iterator[None]:
        """Counts one call while the context lasts.

        Args:
            client: the client that the call counts for; None: it counts only towards the total.

        Raises:
            Busy: the limit in total or of this client is reached.
        """
        if self._count >= self._limit:
            raise Busy(f"all {self._count} {self._what} are taken", retry_after_s=RETRY_AFTER_S)
        if client is not None:
            own_limit = client_limit(client, self._per_client, self._limit)
            if self._by_client[client] >= own_limit:
                raise Busy(
                    f"{client} holds all {own_limit} {self._what} that one address may have",
                    retry_after_s=RETRY_AFTER_S,
                    hint="GATEWAY_MAX_SESSIONS_PER_CLIENT sets the limit",
                )
            self._by_client[client] += 1
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if client is not None:
                self._by_client[client] -= 1
                if not self._by_client[client]:
                    del self._by_client[client]
