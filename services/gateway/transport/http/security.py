"""Access to the gateway over HTTP: hosts, origins, the token, and security headers."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from oviya.errors import shorten
from services.gateway.transport.http.errors import HostRefused, OriginRefused, Unauthenticated, error_response

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob: mediastream:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD)


def add_headers(response: web.StreamResponse) -> None:
    """Adds the security headers to a response."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def security_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Adds the security headers to every response."""
    response = await handler(request)
    add_headers(response)
    return response


ANY_HOST = "*"
"""Entry of the allowed hosts that disables the check."""


class AllowedHosts:
    """The names that are accepted in the Host header.

    A site can make its own name resolve to the gateway's address (DNS rebinding); the browser then treats the gateway
    as part of that site.  The Host header of such a request still names the site.  IP addresses and localhost need no
    DNS and cannot be rebound.

    Args:
        names: further names, with or without a port.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {host_name(name) or name for name in names}

    def allow(self, host: str) -> bool:
        """Returns whether a Host header names the gateway."""
        name = host_name(host)
        if not name:
            return False
        if ANY_HOST in self._names or name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def check(self, request: web.Request) -> None:
        """Checks the Host header of a request.  A request without one passes: browsers always send it.

        Raises:
            HostRefused: the header names another host.
        """
        for host in request.headers.getall(hdrs.HOST, []):
            if not self.allow(host):
                raise HostRefused(
                    f"host {shorten(ascii(host))} is not a name of the gateway",
                    hint="add it to GATEWAY_HTTP_HOSTS if browsers reach the gateway by this name",
                )


def own_names(listens_on: str) -> list[str]:
    """Returns the names by which browsers of the local network reach this machine, and the one that it listens on.

    They are the host name, also without its domain, and the mDNS name: an outsider cannot publish them in public DNS.
    """
    name = socket.gethostname()
    short = name.partition(".")[0]
    return [listens_on, name, short, f"{short}.local"]


def host_name(host: str) -> str:
    """Returns the name or address in a Host header, in lower case, without port and brackets; empty: none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises if it is not a port
    except ValueError:
        return ""
    if parts.netloc != host or "@" in host:
        return ""
    return (parts.hostname or "").rstrip(".")


def allow_hosts(hosts: AllowedHosts, public: Collection[str]) -> Middleware:
    """Returns the middleware that refuses requests to other host names, except for `public` paths."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in public:
            try:
                hosts.check(request)
            except HostRefused as error:
                return error_response(error)
        return await handler(request)

    return check


def allow_origins(allowed: Collection[str]) -> Middleware:
    """Returns the middleware that refuses pages of other origins.

    A request that changes something must come from the gateway's own page, from a page of an `allowed` origin, or from
    a program, which sends no Origin header.  Only `allowed` origins can read responses.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or _same_host(origin, request.host):
            return await handler(request)
        if origin not in allowed:
            if request.method in _SAFE_METHODS:
                return await handler(request)  # without CORS headers the browser hides the response from the page
            refusal = f"origin {shorten(ascii(origin))} is not allowed"
            return error_response(OriginRefused(refusal, hint="add it to GATEWAY_HTTP_ORIGINS if its page is trusted"))
        preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        response = web.Response(status=204) if preflight else await handler(request)
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if preflight:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST, DELETE"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Authorization, Content-Type, Voice-Token"
        return response

    return check


def _same_host(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:  # no browser sends this
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def has_token(request: web.Request, token: str) -> bool:
    """Returns whether a request carries the bearer token, or no token is required."""
    if not token:
        return True
    # aiohttp decodes headers with surrogateescape, so this restores the original bytes.
    given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
    scheme, _, credential = given.partition(b" ")
    # Compared in constant time, so that timing does not reveal a prefix of the token.
    return scheme.lower() == b"bearer" and hmac.compare_digest(credential.strip(), token.encode())


def check_token(request: web.Request, token: str) -> None:
    """Checks the bearer token if one is set.

    Raises:
        Unauthenticated: it is missing or wrong.
    """
    if not has_token(request, token):
        raise Unauthenticated("a bearer token is required", hint="send Authorization: Bearer TOKEN")
