"""A reply that the brain is asked for at an eager end of turn, before the user's turn is certainly over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from oviya.tasks import cancel_and_wait
from oviya.v1 import brain_pb2

MakeRequest = Callable[[], Awaitable[brain_pb2.ReplyRequest]]
Reply = Callable[[brain_pb2.ReplyRequest], AsyncGenerator[brain_pb2.ReplyResponse, None]]


class PreemptiveReply:
    """Reads a reply at once, and keeps it until it is used or cancelled.

    Args:
        make_request: makes the request, with the user's words and emotion so far.
        reply: calls the brain.
    """

    def __init__(self, make_request: MakeRequest, reply: Reply) -> None:
        self._request: brain_pb2.ReplyRequest | None = None
        self._responses: asyncio.Queue[brain_pb2.ReplyResponse | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(make_request, reply))

    def answers(self, request: brain_pb2.ReplyRequest) -> bool:
        """Whether the brain was asked the same: the words, the history, and which tone answers which emotion.

        The intensity of the tone may differ: it affects the voice, which has not started.
        """
        return self._request is not None and _content(self._request) == _content(request)

    async def responses(self) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
        """Yields the reply from its beginning.  Leaving the generator early ends the call.

        Raises:
            OviyaError: the brain refused or failed.
        """
        try:
            while (response := await self._responses.get()) is not None:
                yield response
            await self._reading
        finally:
            await self.cancel()

    async def cancel(self) -> None:
        """Ends the call."""
        await cancel_and_wait(self._reading)

    async def _read(self, make_request: MakeRequest, reply: Reply) -> None:
        try:
            self._request = await make_request()
            async with aclosing(reply(self._request)) as responses:
                async for response in responses:
                    self._responses.put_nowait(response)
        finally:
            self._responses.put_nowait(None)


def _content(request: brain_pb2.ReplyRequest) -> bytes:
    content = brain_pb2.ReplyRequest()
    content.CopyFrom(request)
    if content.HasField("tone"):
        for affects_the_voice in ("intensity", "blend", "blend_share"):
            content.tone.ClearField(affects_the_voice)
    return content.SerializeToString(deterministic=True)
