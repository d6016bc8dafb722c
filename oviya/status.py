"""From a failed call back to the typed error that the service raised."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import status_pb2  # pyright: ignore[reportMissingTypeStubs]
from grpc import aio

from oviya import errors
from oviya.mesh.status import DETAILS_KEY, PUSHBACK_KEY, TABLE
from oviya.v1 import common_pb2

DEFAULT_RETRY_S = 1.0
"""Wait that `Busy` names where the service gave none."""


def error_from_rpc(failure: grpc.RpcError | aio.AioRpcError, service: str) -> errors.OviyaError:
    """Rebuilds the typed error that a call failed with.

    Args:
        failure: what grpc or grpc.aio raised.
        service: name of the service that was called, for failures that never reached it.
    """
    call: Any = failure  # every RpcError of a call is a grpc.Call too
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
    if code is grpc.StatusCode.INVALID_ARGUMENT:  # refused by gRPC itself, before the service saw it
        return errors.InvalidInput("request", "", message)
    kinds = [kind for kind, row in TABLE.items() if row.code is code and kind is not errors.OviyaError]
    return (kinds[0] if kinds else errors.OviyaError)(f"{service}: {message}")


async def failure_of(call: Any) -> aio.AioRpcError:
    """Waits for the end of a call of grpc.aio that failed, and returns what awaiting it would raise."""
    return aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


def error_from_detail(
    detail: common_pb2.ErrorDetail, message: str = "", *, retry_after_s: float = DEFAULT_RETRY_S
) -> errors.OviyaError:
    """Rebuilds a typed error from its description; `message` is what the call ended with, where one did."""
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


def _read_detail(blob: str | bytes | None) -> common_pb2.ErrorDetail | None:
    if not isinstance(blob, bytes):
        return None
    detail = common_pb2.ErrorDetail()
    status = status_pb2.Status.FromString(blob)
    return detail if any(packed.Unpack(detail) for packed in status.details) else None
