"""Who may use the gateway over HTTP, and what its pages may do."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from oviya.errors import shorten
from services.gateway.http_errors import OriginRefused, Unauthenticated, error_response

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


def allow_origins(allowed: Collection[str]) -> Middleware:
    """Makes the middleware that keeps other sites' pages out.

    A request that changes something must come from the gateway's own page, from a page of an `allowed` origin, or from
    no page at all (a program sends no Origin header).  Answers can be read by `allowed` origins only.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or urlsplit(origin).netloc == request.host:
            return await handler(request)
        if origin not in allowed:
            if request.method in _SAFE_METHODS:
                return await handler(request)  # without CORS headers the browser keeps the answer from the page
            refusal = f"origin {shorten(origin)} is not allowed"
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


def check_token(request: web.Request, token: str) -> None:
    """Checks the bearer token where one is set.

    Raises:
        Unauthenticated: it is missing or wrong.
    """
    if not token:
        return
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    # compared in constant time, so that its beginning cannot be guessed
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthenticated("a bearer token is needed", hint="send Authorization: Bearer TOKEN")
