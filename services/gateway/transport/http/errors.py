"""Errors over HTTP: one JSON format, with the statuses of the mesh's table."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf import json_format

from oviya.errors import Busy, OviyaError
from oviya.status import detail_of, mapping_of
from oviya.v1 import common_pb2
from services.gateway.transport.admission import OfferInUse

log = structlog.get_logger()


class Unauthenticated(OviyaError):
    """The bearer token is missing or wrong."""


class OriginRefused(OviyaError):
    """The request came from a page of an origin that is not allowed."""


class HostRefused(OviyaError):
    """The Host header does not name the gateway."""


class RequestTooSlow(OviyaError):
    """The request's body did not arrive in time."""


_STATUSES: dict[type[OviyaError], HTTPStatus] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    OriginRefused: HTTPStatus.FORBIDDEN,
    HostRefused: HTTPStatus.MISDIRECTED_REQUEST,
    RequestTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    OfferInUse: HTTPStatus.CONFLICT,
}
"""Statuses of the errors that only HTTP has."""


def error_response(error: OviyaError) -> web.Response:
    """Returns a typed error as {"error": {type, message, field, value, limit, hint, suggestions}}."""
    status = _STATUSES.get(type(error)) or mapping_of(error).http.value
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return _response(status, detail_of(error), headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Converts every failure of `handler` to the JSON format; unexpected ones are logged and returned as Internal."""
    try:
        return await handler(request)
    except OviyaError as error:
        return error_response(error)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        kept = {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After")}
        kind = HTTPStatus(error.status).phrase.title().replace(" ", "")
        return _response(error.status, common_pb2.ErrorDetail(type=kind, message=error.reason), kept)
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        detail = common_pb2.ErrorDetail(type="Internal", message="internal error of the gateway")
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _response(status: int, detail: common_pb2.ErrorDetail, headers: dict[str, str] | None = None) -> web.Response:
    error = json_format.MessageToDict(
        detail, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return web.json_response({"error": error}, status=status, headers=headers)
