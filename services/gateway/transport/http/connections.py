"""Limits on HTTP connections: their number, and the time for a request.

aiohttp closes idle connections, but waits without limit for the rest of a request, and for a client to read its
response.  Each connection gets a small protocol with timers in front of aiohttp's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import Counter, Gauge

from services.gateway.client_address import ClientAddresses
from services.gateway.settings import GatewaySettings

log = structlog.get_logger()

CONNECTIONS = Gauge("oviya_gateway_http_connections_open", "HTTP connections that are open")
REFUSED = Counter("oviya_gateway_http_connections_refused_total", "HTTP connections refused, by the limit", ["limit"])
TIMEOUTS = Counter("oviya_gateway_http_timeouts_total", "HTTP connections closed for being slow, by what was", ["what"])
MALFORMED = Counter("oviya_gateway_http_malformed_total", "Requests that were not HTTP, by the type of error", ["type"])

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 21\r\n\r\ntoo many connections\n"
)


def _drop_malformed(record: logging.LogRecord) -> bool:
    """Drops aiohttp's log records of malformed requests: they quote the header, which may contain a token."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    MALFORMED.labels(type(error).__name__).inc()
    log.debug("malformed request", error=type(error).__name__)
    return False


SERVER_LOG = logging.getLogger("oviya.gateway.http")
"""Logger of aiohttp's server."""
SERVER_LOG.addFilter(_drop_malformed)


class Connections:
    """The connections of one server, within the limits of its settings on their number and times."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.inner: Callable[[], asyncio.Protocol] | None = None
        self._clients = ClientAddresses(settings.trusted_proxies)
        self._open: dict[asyncio.BaseTransport, Connection] = {}
        self._by_client: Tally[str] = Tally()

    def __call__(self) -> Connection:
        """Creates the protocol of a new connection."""
        assert self.inner is not None
        return Connection(self, self.inner)

    def admit(self, connection: Connection, transport: asyncio.BaseTransport) -> str | None:
        """Counts a connection; returns its client's name, or None if there are too many."""
        peer = (transport.get_extra_info("peername") or ("unix",))[0]
        client = self._clients.name(peer)
        limit = ""
        if len(self._open) >= self.settings.http_max_connections:
            limit = "all"
        elif self._by_client[client] >= self.settings.http_max_connections_per_client:
            limit = "" if self._clients.is_proxy(peer) else "client"
        if limit:
            REFUSED.labels(limit).inc()
            log.debug("connection refused", limit=limit)
            return None
        self._open[transport] = connection
        self._by_client[client] += 1
        CONNECTIONS.inc()
        return client

    def release(self, client: str, transport: asyncio.BaseTransport) -> None:
        """Stops counting a connection."""
        del self._open[transport]
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
        CONNECTIONS.dec()

    def middleware(self) -> Any:
        """Returns the middleware that notifies a connection of its requests; it must be the outermost."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = self._open.get(request.transport) if request.transport is not None else None
            task = asyncio.current_task()
            if connection is not None and task is not None:
                connection.request_began()
                # aiohttp runs each request in a task, which ends when the response has been written.
                task.add_done_callback(lambda _: connection.request_ended())
            return await handler(request)

        return watch


class Connection(asyncio.Protocol):
    """One connection: forwards to aiohttp's protocol, and aborts when a request takes too long."""

    def __init__(self, connections: Connections, make_inner: Callable[[], asyncio.Protocol]) -> None:
        self._connections, self._settings = connections, connections.settings
        self._make_inner = make_inner
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._client: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client = self._connections.admit(self, transport)
        if self._client is None:
            self._transport.write(_TOO_MANY)
            self._transport.close()
            return
        self._inner = self._make_inner()
        self._inner.connection_made(transport)
        self._expect("header", self._settings.http_header_s)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        if self._timer is None:  # idle until now: a request begins
            self._expect("header", self._settings.http_header_s)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect("", None)
        if self._client is not None and self._transport is not None:
            self._connections.release(self._client, self._transport)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def request_began(self) -> None:
        """The headers are complete."""
        self._expect("request", self._settings.http_request_s)

    def request_ended(self) -> None:
        """The response is written; aiohttp has the timer for idle connections."""
        self._expect("", None)

    def _expect(self, what: str, within_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if within_s is not None:
            self._timer = asyncio.get_running_loop().call_later(within_s, self._expire, what)

    def _expire(self, what: str) -> None:
        self._timer = None
        TIMEOUTS.labels(what).inc()
        log.debug("connection timed out", what=what)
        if self._transport is not None:
            self._transport.abort()
