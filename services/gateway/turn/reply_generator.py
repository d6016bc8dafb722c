"""Generates replies with the brain, sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from oviya.tasks import cancel_and_wait
from oviya.text.sentences import split_sentence
from oviya.v1 import brain_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.memory.memory import Memory
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.voice.segment import Send, Sentence


class BrainReply:
    """One reply of the brain.

    The brain is read to its end at once, however slowly the reply is spoken, so that it is free for other callers.

    Args:
        request: what the brain is asked.
        send: takes Degraded events.

    Attributes:
        texts: the written forms of the sentences that have come.
    """

    def __init__(
        self, mesh: Mesh, settings: GatewaySettings, memory: Memory, request: brain_pb2.ReplyRequest, send: Send
    ) -> None:
        self._mesh, self._settings, self._memory = mesh, settings, memory
        self._request, self._send = request, send
        self._tone = request.tone if request.HasField("tone") else None
        self.texts: list[str] = []

    def set_tone(self, request: brain_pb2.ReplyRequest) -> None:
        """Speaks the sentences that follow in the tone of a request."""
        self._tone = request.tone if request.HasField("tone") else None

    async def sentences(self) -> AsyncGenerator[Sentence, None]:
        """Yields the reply, in sentences that can be spoken.

        Raises:
            OviyaError: the brain refused or failed.
        """
        sentences: asyncio.Queue[Sentence | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(sentences))
        try:
            while (sentence := await sentences.get()) is not None:
                yield sentence
            await reading
        finally:
            await cancel_and_wait(reading)

    async def _read(self, sentences: asyncio.Queue[Sentence | None]) -> None:
        """Reads the reply to its end, or to the largest number of sentences that is spoken."""
        limit = self._settings.max_reply_sentences
        try:
            async with aclosing(self._mesh.reply(self._request)) as reply:
                async for response in reply:
                    if response.degraded:
                        await self._send(conversation_pb2.Degraded(service="brain", message=response.degraded))
                    max_chars, language = self._settings.max_sentence_chars, response.language
                    for said in split_sentence(response.text, max_chars, response.spoken, language):
                        if len(self.texts) == limit:
                            message = f"the reply has more than {limit} sentences; the rest is left out"
                            await self._send(conversation_pb2.Degraded(service="brain", message=message))
                            return
                        self.texts.append(said.text)
                        tone = self._tone
                        sentence = Sentence(said.text, said.spoken, response.emotion, tone=tone, language=language)
                        sentences.put_nowait(sentence)
            self._memory.shorten()
        finally:
            sentences.put_nowait(None)


@dataclass
class ReplyGenerator:
    """Asks the brain for the replies of one session; adds the user's turns to its memory."""

    mesh: Mesh
    settings: GatewaySettings
    memory: Memory
    interruption: brain_pb2.Interruption | None = None
    """How the last reply was cut short."""
    current: BrainReply | None = field(default=None, init=False)
    """The reply that is being given."""

    def request(self, text: str, language: str, emotion: emotion_pb2.DetectResponse | None) -> brain_pb2.ReplyRequest:
        """Makes the request for a reply to the user's words.

        Args:
            text: the words.
            language: their language (BCP 47); empty: unknown.
            emotion: what the user feels; None: unknown.
        """
        return brain_pb2.ReplyRequest(
            session_id=self.memory.session_id,
            text=text,
            history=self.memory.turns(),
            summary=self.memory.summary,
            user_emotion=emotion.emotions[0].emotion if emotion else "",
            tone=emotion.tone if emotion and emotion.HasField("tone") else None,
            language=language,
            interruption=self.interruption,
        )

    def ask(self, request: brain_pb2.ReplyRequest, send: Send) -> BrainReply:
        """Returns the brain's reply to a request."""
        return BrainReply(self.mesh, self.settings, self.memory, request, send)

    async def emotion_in_time(
        self, detecting: asyncio.Task[emotion_pb2.DetectResponse | None]
    ) -> emotion_pb2.DetectResponse | None:
        """Waits for the user's emotion, but not long; None: it is unknown."""
        done, _ = await asyncio.wait({detecting}, timeout=self.settings.emotion_budget_s)
        if not done:
            metrics.EMOTION_LATE.inc()
        return detecting.result() if done else None

    async def sentences(
        self, text: str, language: str, detecting: asyncio.Task[emotion_pb2.DetectResponse | None], send: Send
    ) -> AsyncGenerator[Sentence, None]:
        """Yields the brain's reply to `text`, in sentences that can be spoken.

        Args:
            text: the user's words.
            language: their language (BCP 47); empty: unknown.
            detecting: detects the user's emotion; the brain is asked without it if it takes too long.
            send: takes Degraded events.

        Raises:
            OviyaError: the brain refused or failed.
        """
        request = self.request(text, language, await self.emotion_in_time(detecting))
        self.memory.add_user(text)
        self.current = self.ask(request, send)
        async with aclosing(self.current.sentences()) as sentences:
            async for sentence in sentences:
                yield sentence
