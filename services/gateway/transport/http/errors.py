"""Failures over HTTP: one JSON shape, the statuses of the mesh's table."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from oviya.errors import Busy, OviyaError
from oviya.status import detail_of, mapping_of
from services.gateway.transport.admission import OfferInUse

log = structlog.get_logger()


class Unauthenticated(OviyaError):
    """The request lacks the token, or has a wrong one."""


class OriginRefused(OviyaError):
    """A page of another site sent the request."""


class HostRefused(OviyaError):
    """The request names a host that the gateway does not answer for."""


class RequestTooSlow(OviyaError):
    """The body of the request did not come in time."""


_STATUSES: dict[type[OviyaError], HTTPStatus] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    OriginRefused: HTTPStatus.FORBIDDEN,
    HostRefused: HTTPStatus.MISDIRECTED_REQUEST,
    RequestTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    OfferInUse: HTTPStatus.CONFLICT,
}
"""Failures that only HTTP has."""


def error_response(error: OviyaError) -> web.Response:
    """Describes a typed error: {"error": {type, message, field, value, limit, hint, suggestions}}."""
    detail = detail_of(error)
    status = _STATUSES.get(type(error)) or mapping_of(error).http.value
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return _response(
        status,
        type=detail.type,
        message=detail.message,
        field=detail.field,
        value=detail.value,
        limit=detail.limit,
        hint=detail.hint,
        suggestions=list(detail.suggestions),
        headers=headers,
    )


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every failure of `handler` in the one shape; what nobody foresaw is logged and told as Internal."""
    try:
        return await handler(request)
    except OviyaError as error:
        return error_response(error)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        kept = {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After")}
        return _response(error.status, type=HTTPStatus(error.status).phrase.title().replace(" ", ""),
                         message=error.reason, headers=kept)  # fmt: skip
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR, type="Internal", message="the gateway made a mistake")


def _response(
    status: int,
    *,
    type: str,
    message: str,
    headers: dict[str, str] | None = None,
    field: str = "",
    value: str = "",
    limit: str = "",
    hint: str = "",
    suggestions: list[str] | None = None,
) -> web.Response:
    error: dict[str, Any] = {
        "type": type,
        "message": message,
        "field": field,
        "value": value,
        "limit": limit,
        "hint": hint,
        "suggestions": suggestions or [],
    }
    return web.json_response({"error": error}, status=status, headers=headers)
