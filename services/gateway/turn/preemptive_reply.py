"""A reply that the brain is asked for before the user's turn is certainly over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from oviya.v1 import brain_pb2


class PreemptiveReply:
    """Reads a reply at once and keeps it until somebody wants it, or throws it away.

    Args:
        request: makes the request, with what the user seems to have said and to feel.
        reply: asks the brain.
    """

    def __init__(
        self,
        request: Callable[[], Awaitable[brain_pb2.ReplyRequest]],
        reply: Callable[[brain_pb2.ReplyRequest], AsyncGenerator[brain_pb2.ReplyResponse, None]],
    ) -> None:
        self._request: brain_pb2.ReplyRequest | None = None
        self._responses: asyncio.Queue[brain_pb2.ReplyResponse | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(request, reply))

    def answers(self, request: brain_pb2.ReplyRequest) -> bool:
        """Whether the brain was asked the same: the words, what came before, and which feeling gets which tone.

        How strong the feeling is may differ: it steers the voice, which has not begun to speak.
        """
        return self._request is not None and _content(self._request) == _content(request)

    async def responses(self) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
        """Yields the reply from its beginning.  Leaving it early ends the call.

        Raises:
            OviyaError: what the brain refused or failed at.
        """
        try:
            while (response := await self._responses.get()) is not None:
                yield response
            await self._reading
        finally:
            await self.cancel()

    async def cancel(self) -> None:
        """Ends the call; what has come is dropped."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._reading

    async def _read(
        self,
        request: Callable[[], Awaitable[brain_pb2.ReplyRequest]],
        reply: Callable[[brain_pb2.ReplyRequest], AsyncGenerator[brain_pb2.ReplyResponse, None]],
    ) -> None:
        try:
            self._request = await request()
            async with aclosing(reply(self._request)) as responses:
                async for response in responses:
                    self._responses.put_nowait(response)
        finally:
            self._responses.put_nowait(None)


def _content(request: brain_pb2.ReplyRequest) -> bytes:
    content = brain_pb2.ReplyRequest()
    content.CopyFrom(request)
    for steers_the_voice in ("intensity", "blend", "blend_share"):
        if content.HasField("tone"):
            content.tone.ClearField(steers_the_voice)
    return content.SerializeToString(deterministic=True)
