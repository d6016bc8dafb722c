"""The one table from Oviya's failures to gRPC and HTTP statuses; `oviya.status` reads it backwards.

A typed error travels as google.rpc.Status with an oviya.v1.ErrorDetail, so that any client can read which field, value
and limit were concerned.  This module needs only what a calling app has.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import grpc
from google.rpc import status_pb2  # pyright: ignore[reportMissingTypeStubs]

from oviya import errors
from oviya.v1 import common_pb2

DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata that carries google.rpc.Status, by gRPC's convention."""
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailing metadata that tells gRPC's retry policy how long to wait (gRFC A6)."""


class Mapping(NamedTuple):
    """The statuses of one type of failure."""

    code: grpc.StatusCode
    http: HTTPStatus


# An error takes the row of its own class or of its nearest base.
TABLE: dict[type[errors.OviyaError], Mapping] = {
    errors.InvalidInput: Mapping(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST),
    errors.Busy: Mapping(grpc.StatusCode.RESOURCE_EXHAUSTED, HTTPStatus.TOO_MANY_REQUESTS),
    errors.NotReady: Mapping(grpc.StatusCode.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE),
    errors.Unavailable: Mapping(grpc.StatusCode.UNAVAILABLE, HTTPStatus.BAD_GATEWAY),
    errors.Timeout: Mapping(grpc.StatusCode.DEADLINE_EXCEEDED, HTTPStatus.GATEWAY_TIMEOUT),
    errors.Unsupported: Mapping(grpc.StatusCode.UNIMPLEMENTED, HTTPStatus.NOT_IMPLEMENTED),
    errors.PermissionDenied: Mapping(grpc.StatusCode.PERMISSION_DENIED, HTTPStatus.FORBIDDEN),
    errors.CheckpointError: Mapping(grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.OviyaError: Mapping(grpc.StatusCode.INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR),
}


def mapping_of(error: errors.OviyaError) -> Mapping:
    """Returns the row of `error`'s type."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def http_status(error: errors.OviyaError) -> int:
    """Returns the HTTP status that `error` is answered with."""
    return mapping_of(error).http.value


def detail_of(error: errors.OviyaError) -> common_pb2.ErrorDetail:
    """Describes `error` for a program to act on."""
    plain = str(error).removesuffix(f"; {error.hint}") if error.hint else str(error)
    detail = common_pb2.ErrorDetail(type=type(error).__name__, hint=_as_text(error.hint), message=_as_text(plain))
    if isinstance(error, errors.InvalidInput):
        detail.field, detail.value, detail.limit = error.field, _as_text(error.value), error.limit
        detail.suggestions.extend(error.suggestions)
    if isinstance(error, errors.Unavailable):
        detail.field = error.service
    return detail


def _as_text(text: str) -> str:
    """Escapes lone surrogates, which JSON and HTTP headers can bring and protobuf refuses."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_status(error: errors.OviyaError) -> status_pb2.Status:
    """Packs `error` as the rich status that a call is aborted with."""
    status = status_pb2.Status(code=mapping_of(error).code.value[0], message=_as_text(str(error)))
    status.details.add().Pack(detail_of(error))
    return status


def trailing_metadata(error: errors.OviyaError) -> tuple[tuple[str, str | bytes], ...]:
    """Returns the metadata that goes with `error`: its rich status, and the pushback where a retry makes sense."""
    metadata: list[tuple[str, str | bytes]] = [(DETAILS_KEY, to_status(error).SerializeToString())]
    if isinstance(error, errors.Busy):
        metadata.append((PUSHBACK_KEY, str(round(error.retry_after_s * 1000))))
    return tuple(metadata)
