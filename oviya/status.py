"""Typed errors as gRPC and HTTP statuses, and back: one table for servers and clients.

A typed error travels in trailing metadata as google.rpc.Status with an oviya.v1.ErrorDetail, so that any client can
read which field, value and limit were concerned.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

import grpc
from grpc import aio

from oviya import errors
from oviya.v1.common_pb2 import ErrorDetail, RpcStatus

DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata that carries google.rpc.Status, by gRPC's convention."""
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailing metadata that tells gRPC's retry policy how long to wait (gRFC A6)."""
DEFAULT_RETRY_S = 1.0
"""`retry_after_s` of `Busy` if the service sent none."""


class Mapping(NamedTuple):
    """The statuses of an error type."""

    code: grpc.StatusCode
    http: HTTPStatus


# The row of an error is that of its class, or of the nearest base class.
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


def detail_of(error: errors.OviyaError) -> ErrorDetail:
    """Returns `error` as a message, for programs."""
    plain = str(error).removesuffix(f"; {error.hint}") if error.hint else str(error)
    detail = ErrorDetail(type=type(error).__name__, hint=_as_text(error.hint), message=_as_text(plain))
    if isinstance(error, errors.InvalidInput):
        detail.field, detail.value, detail.limit = error.field, _as_text(error.value), error.limit
        detail.suggestions.extend(error.suggestions)
    if isinstance(error, errors.Unavailable):
        detail.field = error.service
    return detail


def trailing_metadata(error: errors.OviyaError) -> tuple[tuple[str, str | bytes], ...]:
    """Returns the trailing metadata for `error`: its rich status, and the retry pushback of `Busy`."""
    status = RpcStatus(code=mapping_of(error).code.value[0], message=_as_text(str(error)))
    status.details.add().Pack(detail_of(error))
    metadata: list[tuple[str, str | bytes]] = [(DETAILS_KEY, status.SerializeToString())]
    if isinstance(error, errors.Busy):
        metadata.append((PUSHBACK_KEY, str(round(error.retry_after_s * 1000))))
    return tuple(metadata)


def error_from_rpc(failure: grpc.RpcError | aio.AioRpcError, service: str) -> errors.OviyaError:
    """Returns the typed error that a call failed with.

    Args:
        failure: the exception of grpc or grpc.aio.
        service: name of the called service, for errors that do not come from the service itself.
    """
    call: Any = failure  # an RpcError of a call is also a grpc.Call
    code: grpc.StatusCode = call.code()
    message: str = call.details() or code.name
    metadata: dict[str, str | bytes] = dict(call.trailing_metadata() or ())
    detail = _read_detail(metadata.get(DETAILS_KEY))
    if detail is not None:
        retry_after_s = float(metadata.get(PUSHBACK_KEY, DEFAULT_RETRY_S * 1000)) / 1000
        return error_from_detail(detail, message, retry_after_s=retry_after_s)
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(service, message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.Busy(f"{service}: {message}", retry_after_s=DEFAULT_RETRY_S)
    if code is grpc.StatusCode.INVALID_ARGUMENT:  # refused by gRPC, not by the service
        return errors.InvalidInput("request", "", message)
    kinds = [kind for kind, row in TABLE.items() if row.code is code and kind is not errors.OviyaError]
    return (kinds[0] if kinds else errors.OviyaError)(f"{service}: {message}")


async def failure_of(call: Any) -> aio.AioRpcError:
    """Waits until a failed grpc.aio call has ended, and returns the exception that awaiting it would raise."""
    return aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


def error_from_detail(
    detail: ErrorDetail, message: str = "", *, retry_after_s: float = DEFAULT_RETRY_S
) -> errors.OviyaError:
    """Returns the typed error of a detail.  `message`: the call's status message, if there is one."""
    hint = detail.hint
    message = message or detail.message
    plain = message.removesuffix(f"; {hint}") if hint else message  # the type appends its hint again
    if detail.type == errors.InvalidInput.__name__:
        return errors.InvalidInput(detail.field, detail.value, detail.limit, hint=hint, suggestions=detail.suggestions)
    if detail.type == errors.Busy.__name__:
        return errors.Busy(plain, retry_after_s=retry_after_s, hint=hint)
    if detail.type == errors.Unavailable.__name__:
        return errors.Unavailable(detail.field, plain.removeprefix(f"{detail.field}: "), hint=hint)
    kinds = {kind.__name__: kind for kind in TABLE}
    return kinds.get(detail.type, errors.OviyaError)(plain, hint=hint)


def _read_detail(blob: str | bytes | None) -> ErrorDetail | None:
    if not isinstance(blob, bytes):
        return None
    detail = ErrorDetail()
    status = RpcStatus.FromString(blob)
    return detail if any(packed.Unpack(detail) for packed in status.details) else None


def _as_text(text: str) -> str:
    """Escapes lone surrogates, which JSON and HTTP headers may contain and protobuf refuses."""
    return text.encode("utf-8", "backslashreplace").decode()
