"""A reply that is made at an eager end of turn, before the user's turn is certainly over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from oviya.v1 import brain_pb2
from services.gateway.turn.filler import WithFiller
from services.gateway.turn.reply_generator import BrainReply
from services.gateway.voice.segment import Send, Sentence, SpeechEvent
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.speech_output import SpeechOutput

MakeRequest = Callable[[], Awaitable[brain_pb2.ReplyRequest]]


class HeldEvents:
    """Keeps a reply's events until it is certain that it is given."""

    def __init__(self) -> None:
        self._kept: list[SpeechEvent] = []
        self._send: Send | None = None

    async def __call__(self, event: SpeechEvent) -> None:
        """Sends an event, or keeps it."""
        if self._send is None:
            self._kept.append(event)
        else:
            await self._send(event)

    async def release(self, send: Send) -> None:
        """Sends what was kept, and everything that follows."""
        for event in self._kept:
            await send(event)
        self._kept, self._send = [], send


class PreemptiveReply:
    """Asks the brain and synthesizes the first sentences; sends nothing until `use`.

    Args:
        turn: number of the user's turn.
        text: the user's words.
        make_request: makes the request, with the user's words and emotion so far.
        reply: calls the brain.
        output: speaks to the caller.
        filler: bridges a wait for the brain.
    """

    def __init__(
        self,
        turn: int,
        text: str,
        make_request: MakeRequest,
        reply: Callable[[brain_pb2.ReplyRequest, Send], BrainReply],
        output: SpeechOutput,
        filler: WithFiller,
    ) -> None:
        self.turn, self.text = turn, text
        self._make_request, self._reply = make_request, reply
        self._output, self._options = output, output.options
        self._request: brain_pb2.ReplyRequest | None = None
        self._events = HeldEvents()
        self._used = asyncio.Event()
        self._brain_reply: BrainReply | None = None
        self.speech: SpeechHandle = output.say(
            filler(self._sentences(), self._used), self._events, turn=turn, held=True, words=True
        )

    def answers(self, request: brain_pb2.ReplyRequest) -> bool:
        """Whether the brain was asked the same: the words, the history, and which tone answers which emotion; and
        whether the reply is spoken as it would be now.

        The intensity of the tone may differ: it affects the voice, which can follow from the next sentence on.
        """
        is_same = self._request is not None and _content(self._request) == _content(request)
        return is_same and self._options == self._output.options

    async def use(self, send: Send, request: brain_pb2.ReplyRequest) -> BrainReply | None:
        """Gives the reply: sends what waits, and then its sound.

        Args:
            send: takes the events.
            request: what `answers` was asked; its tone is that of the sentences which are not made yet.

        Returns:
            The brain's reply; None: the brain has not been asked yet.
        """
        if self._brain_reply is not None:
            self._brain_reply.set_tone(request)
        await self._events.release(send)
        self._used.set()
        self.speech.resume()
        return self._brain_reply

    async def cancel(self) -> None:
        """Ends all calls."""
        self.speech.interrupt()
        await asyncio.gather(self.speech.wait(), return_exceptions=True)

    async def _sentences(self) -> AsyncGenerator[Sentence, None]:
        self._request = await self._make_request()
        self._brain_reply = self._reply(self._request, self._events)
        async with aclosing(self._brain_reply.sentences()) as sentences:
            async for sentence in sentences:
                yield sentence


def _content(request: brain_pb2.ReplyRequest) -> bytes:
    content = brain_pb2.ReplyRequest()
    content.CopyFrom(request)
    if content.HasField("tone"):
        for affects_the_voice in ("intensity", "blend", "blend_share"):
            content.tone.ClearField(affects_the_voice)
    return content.SerializeToString(deterministic=True)
