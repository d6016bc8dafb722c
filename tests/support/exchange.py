"""Calls with a stream of requests, sent in the background so that the status is the server's.

Where a server ends a call while a request is being written, grpc.aio replaces its status by an internal error, also for
requests that come from an iterator; see `oviya.writing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from google.protobuf.message import Message
from grpc import aio

from oviya.tasks import cancel_and_wait
from oviya.writing import half_close, write

Requests: TypeAlias = Iterable[Message] | AsyncIterable[Message]


@asynccontextmanager
async def sending(call: Any, requests: Requests) -> AsyncIterator[Any]:
    """Sends `requests` on `call`, which was made without an iterator, and half-closes it; cancels it on leaving."""
    task = asyncio.create_task(_send(call, requests))
    try:
        yield call
    finally:
        call.cancel()
        await cancel_and_wait(task)


async def exchange(call: Any, requests: Requests) -> AsyncIterator[Any]:
    """Yields the responses of a call with a stream of responses."""
    async with sending(call, requests):
        while (response := await call.read()) is not aio.EOF:
            yield response


async def exchange_for_one(call: Any, requests: Requests) -> Any:
    """Returns the response of a call with one response."""
    async with sending(call, requests):
        return await call


async def _send(call: Any, requests: Requests) -> None:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            if not await write(call, request):
                return
    else:
        for request in requests:
            if not await write(call, request):
                return
    await half_close(call)
