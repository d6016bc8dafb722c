"""How the client reaches a server and reads its streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from oviya.errors import Timeout
from oviya.status import error_from_rpc

STALL_TIMEOUT_S = 60.0
"""Longest wait for the next message while the server owes one: twice its own longest step, so it answers first."""

OPTIONS: tuple[tuple[str, Any], ...] = (
    # Proxies drop idle connections after a few minutes; servers refuse pings more often than once a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The default first back-off of one second would make a client that starts beside its server look broken.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

Request = TypeVar("Request")
Message = TypeVar("Message")
Event = TypeVar("Event")


async def read_events(
    call: grpc.aio.UnaryStreamCall[Request, Message] | grpc.aio.StreamStreamCall[Request, Message],
    read: Callable[[Message], Event | None],
    service: str,
    stall_s: float | None,
) -> AsyncGenerator[Event, None]:
    """Yields what `read` makes of each message, passing over None, and cancels the call when the reader leaves.

    Args:
        call: a running streaming call.
        read: message to event.
        service: name of the service that was called, for errors.
        stall_s: longest wait for the next message; None waits for ever.

    Raises:
        Timeout: no message came for `stall_s`.
        OviyaError: what the server refused or failed at.
    """
    try:
        while True:
            async with asyncio.timeout(stall_s):
                message = await call.read()
            if message is grpc.aio.EOF:
                return
            event = read(message)  # pyright: ignore[reportArgumentType]  (the stubs cannot tell EOF from a message)
            if event is not None:
                yield event
    except TimeoutError as error:
        raise Timeout(f"{service}: no answer for {stall_s} s", hint=f"see the log of {service}") from error
    except grpc.RpcError as error:
        raise error_from_rpc(error, service) from error
    finally:
        call.cancel()
