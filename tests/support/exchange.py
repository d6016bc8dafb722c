"""Calls with a stream of requests, as `oviya.writing.sending` makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from oviya.writing import Requests, sending


async def exchange(call: Any, requests: Requests) -> AsyncIterator[Any]:
    """Yields the responses of a call with a stream of responses, which was made without an iterator."""
    async with sending(call, requests):
        while (response := await call.read()) is not aio.EOF:
            yield response


async def exchange_for_one(call: Any, requests: Requests) -> Any:
    """Returns the response of a call with one response, which was made without an iterator."""
    async with sending(call, requests):
        return await call
