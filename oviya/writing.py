"""Writing to a call without losing the reason why it ended."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from google.protobuf.message import Message
from grpc import aio
from grpc._cython import cygrpc  # pyright: ignore[reportMissingTypeStubs]

_CallFailed: type[Exception] = vars(cygrpc)["InternalError"]  # what grpc.aio's own write catches


async def write(call: Any, message: Message) -> bool:
    """Writes `message`; returns False where the call has ended: its reader has the reason.

    Where a server ends a call while a message is being written, grpc.aio's own `call.write` puts "Internal error from
    Core" in the place of the status that the server gave, and nobody learns that it was full or what it refused (grpc
    issue 36066, in 1.85 still; here four of five refusals were lost).  This does what `call.write` does, except that.

    Args:
        call: a call of grpc.aio with a stream of requests, made without an iterator.
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
    except BaseException:  # cancelled in the middle of a message: the stream cannot go on
        call.cancel()
        raise
    return True


async def half_close(call: Any) -> None:
    """Ends the requests of a call; does nothing where it has ended."""
    with suppress(_CallFailed):
        await call.done_writing()
