"""Typed errors as statuses: what gRPC's own reader of google.rpc.Status sees, and what comes back."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest
from google.rpc import status_pb2
from grpc import aio
from grpc_status import rpc_status

from oviya.errors import Busy, CheckpointError, InvalidInput, OviyaError, PermissionDenied, Unavailable
from oviya.status import DETAILS_KEY, error_from_rpc, mapping_of, trailing_metadata
from oviya.v1.common_pb2 import ErrorDetail

ERRORS = [
    InvalidInput("config.voice", "tenor", "must be auto or csm", hint="leave it out", suggestions=["auto", "csm"]),
    Busy("all 4 slots are taken", retry_after_s=2.5),
    Unavailable("csm", "connection refused", hint="start it"),
    PermissionDenied("another token"),
    CheckpointError("no weights"),
    OviyaError("internal error"),
]


def failed_call(error: OviyaError) -> aio.AioRpcError:
    """What a caller's grpc.aio raises where a service raised `error`."""
    trailing = aio.Metadata(*trailing_metadata(error))
    return aio.AioRpcError(mapping_of(error).code, aio.Metadata(), trailing, str(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_status_is_a_google_rpc_status(error):
    blob = dict(trailing_metadata(error))[DETAILS_KEY]
    assert isinstance(blob, bytes)
    status = status_pb2.Status.FromString(blob)
    assert (status.code, status.message) == (mapping_of(error).code.value[0], str(error))
    (packed,) = status.details
    detail = ErrorDetail()
    assert packed.Unpack(detail)
    assert detail.type == type(error).__name__


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_grpcio_status_reads_it(error):
    status = rpc_status.from_call(cast(Any, failed_call(error)))
    assert status is not None
    assert status.message == str(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_was_raised(error):
    back = error_from_rpc(failed_call(error), "gateway")
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_details_of_other_types_are_passed_over():
    status = status_pb2.Status(code=5, message="not found")
    status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\x02\x08\x01")
    trailing = aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    failure = aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), trailing, "not found")
    assert isinstance(error_from_rpc(failure, "gateway"), Unavailable)
