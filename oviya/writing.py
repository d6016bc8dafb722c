"""Writes to a call without losing the status that it ends with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from google.protobuf.message import Message
from grpc import aio
from grpc._cython import cygrpc  # pyright: ignore[reportMissingTypeStubs]

from oviya.tasks import cancel_and_wait, raising_failure_of

_CallFailed: type[Exception] = vars(cygrpc)["InternalError"]  # what grpc.aio's write catches


async def write(call: Any, message: Message) -> bool:
    """Writes `message`; returns False if the call has ended, whose status is on the reading side.

    If the server ends a call while a message is being written, grpc.aio's `call.write` replaces the server's status by
    "Internal error from Core" (grpc issue 36066, still in 1.85).  This function does the same as `call.write`, but
    keeps the status.

    Args:
        call: a grpc.aio call with a stream of requests, created without an iterator.
        message: the next request.
    """
    try:
        await call.wait_for_connection()
    except aio.AioRpcError:
        return False
    if call.done():
        return False
    try:
        await call._cython_call.send_serialized_message(message.SerializeToString())
    except _CallFailed:
        return False
    except BaseException:  # cancelled in the middle of a message: the stream is unusable
        call.cancel()
        raise
    return True


async def half_close(call: Any) -> None:
    """Half-closes a call; does nothing if it has ended."""
    with suppress(_CallFailed):
        await call.done_writing()


@asynccontextmanager
async def sending(call: Any, requests: AsyncIterable[Message]) -> AsyncGenerator[None, None]:
    """Writes `requests` to `call` in the background and half-closes it; leaving the context cancels the call.

    Replaces a call with an iterator, for which grpc.aio writes as `write` describes.

    Raises:
        Exception: what `requests` raised; it ends the call.
    """
    task = asyncio.create_task(_send(call, requests))
    try:
        with raising_failure_of(task):
            yield
    finally:
        call.cancel()
        await cancel_and_wait(task)


async def _send(call: Any, requests: AsyncIterable[Message]) -> None:
    try:
        async for request in requests:
            if not await write(call, request):
                return
        await half_close(call)
    except Exception:
        call.cancel()  # ends the read, which then raises this error
        raise
