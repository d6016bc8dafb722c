"""Who may use the gateway over HTTP, and what its pages may do."""

from __future__ import annotations

import hmac
import ipaddress
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
    """Adds the headers that every answer carries."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def security_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Adds the security headers to every answer."""
    response = await handler(request)
    add_headers(response)
    return response


ANY_HOST = "*"
"""Entry of the allowed hosts that turns the check off."""


class AllowedHosts:
    """The names that the gateway answers to in the Host header.

    A page of any site can have its own name resolve to the gateway's address (DNS rebinding); for the browser the
    gateway is then part of that site.  Such a request still names the other site in its Host header.  Addresses and
    localhost need no DNS, so nobody can rebind them.

    Args:
        names: further names, with or without a port.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {host_name(name) or name for name in names}

    def allow(self, host: str) -> bool:
        """Says whether a Host header is one of the gateway's."""
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
        """Checks the Host header of a request.  HTTP/1.0 without one passes: browsers always send it.

        Raises:
            HostRefused: it names another host.
        """
        for host in request.headers.getall(hdrs.HOST, []):
            if not self.allow(host):
                raise HostRefused(
                    f"host {shorten(ascii(host))} is not one of the gateway's",
                    hint="add its name to GATEWAY_HTTP_HOSTS if the gateway is reached by it",
                )


def host_name(host: str) -> str:
    """Returns the name or address in a Host header, in lower case, without port and brackets; empty: it has none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # refuses what is not a port
    except ValueError:
        return ""
    if parts.netloc != host or "@" in host:
        return ""
    return (parts.hostname or "").rstrip(".")


def allow_hosts(hosts: AllowedHosts, public: Collection[str]) -> Middleware:
    """Makes the middleware that answers only requests to the gateway's own names, except for `public` paths."""

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
    """Makes the middleware that keeps other sites' pages out.

    A request that changes something must come from the gateway's own page, from a page of an `allowed` origin, or from
    no page at all (a program sends no Origin header).  Answers can be read by `allowed` origins only.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or _same_host(origin, request.host):
            return await handler(request)
        if origin not in allowed:
            if request.method in _SAFE_METHODS:
                return await handler(request)  # without CORS headers the browser keeps the answer from the page
            refusal = f"origin {shorten(ascii(origin))} is not allowed"
            return error_response(OriginRefused(refusal, hint="add it to GATEWAY_HTTP_ORIGINS if its page is trusted"))
        preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        response = web.Response(status=204) if preflight else await handler(request)
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if preflight:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Authorization, Content-Type"
        return response

    return check


def _same_host(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:  # a browser sends none of these
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def has_token(request: web.Request, token: str) -> bool:
    """Says whether a request carries the bearer token, or none is asked for."""
    if not token:
        return True
    # aiohttp decodes headers with surrogateescape, so this gives back the bytes that came, whatever they are.
    given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
    scheme, _, credential = given.partition(b" ")
    # Compared in constant time, so that the token cannot be guessed from its beginning.
    return scheme.lower() == b"bearer" and hmac.compare_digest(credential.strip(), token.encode())


def check_token(request: web.Request, token: str) -> None:
    """Checks the bearer token where one is set.

    Raises:
        Unauthenticated: it is missing or wrong.
    """
    if not has_token(request, token):
        raise Unauthenticated("a bearer token is needed", hint="send Authorization: Bearer TOKEN")
