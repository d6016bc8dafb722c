"""Calls with a stream of requests, as `oviya.writing.sending` makes them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, TypeAlias

from google.protobuf.message import Message
from grpc import aio

from oviya.writing import sending

Requests: TypeAlias = Iterable[Message] | AsyncIterable[Message]


async def exchange(call: Any, requests: Requests) -> AsyncIterator[Any]:
    """Yields the responses of a call with a stream of responses, which was made without an iterator."""
    async with sending(call, _each(requests)):
        async for response in _responses(call):
            yield response


async def exchange_for_one(call: Any, requests: Requests) -> Any:
    """Returns the response of a call with one response, which was made without an iterator."""
    async with sending(call, _each(requests)):
        return await call


async def rest_of(call: Any) -> list[Any]:
    """Reads a call to its end."""
    return [response async for response in _responses(call)]


async def _responses(call: Any) -> AsyncIterator[Any]:
    while (response := await call.read()) is not aio.EOF:
        yield response


async def _each(requests: Requests) -> AsyncIterator[Message]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
