"""Generates replies with the brain, sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from oviya.tasks import cancel_and_wait
from oviya.text.sentences import split_sentence
from oviya.v1 import brain_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.memory.memory import Memory
from services.gateway.settings import GatewaySettings
from services.gateway.turn.preemptive_reply import MakeRequest, PreemptiveReply
from services.gateway.upstream.clients import Mesh
from services.gateway.voice.segment import Sentence

Send = Callable[[conversation_pb2.Degraded], Awaitable[None]]


@dataclass
class ReplyGenerator:
    """Asks the brain for the replies of one session; adds the user's turns to its memory."""

    mesh: Mesh
    settings: GatewaySettings
    memory: Memory
    _preemptive: PreemptiveReply | None = field(default=None, init=False)

    async def start_preemptive(self, make_request: MakeRequest) -> None:
        """Starts a preemptive reply; `reply` uses it if it is asked the same."""
        await self.cancel_preemptive()
        self._preemptive = PreemptiveReply(make_request, self.mesh.reply)

    async def cancel_preemptive(self) -> None:
        """Cancels the preemptive reply, if there is one."""
        if self._preemptive is not None:
            metrics.PREEMPTIVE_REPLIES.labels("thrown_away").inc()
            preemptive, self._preemptive = self._preemptive, None
            await preemptive.cancel()

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
        )

    async def reply(self, request: brain_pb2.ReplyRequest) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
        """Returns the preemptive reply if it answers the same request; otherwise calls the brain."""
        if self._preemptive is None or not self._preemptive.answers(request):
            await self.cancel_preemptive()
            return self.mesh.reply(request)
        metrics.PREEMPTIVE_REPLIES.labels("used").inc()
        preemptive, self._preemptive = self._preemptive, None
        return preemptive.responses()

    async def sentences(
        self, text: str, language: str, detecting: asyncio.Task[emotion_pb2.DetectResponse | None], send: Send
    ) -> AsyncGenerator[Sentence, None]:
        """Yields the brain's reply to `text`, in sentences that can be spoken.

        The brain is read to its end at once, however slowly the reply is spoken, so that it is free for other callers.

        Args:
            text: the user's words.
            language: their language (BCP 47); empty: unknown.
            detecting: detects the user's emotion; the brain is asked without it if it takes too long.
            send: takes Degraded events.

        Raises:
            OviyaError: the brain refused or failed.
        """
        done, _ = await asyncio.wait({detecting}, timeout=self.settings.emotion_budget_s)
        if not done:
            metrics.EMOTION_LATE.inc()
        request = self.request(text, language, detecting.result() if done else None)
        reply = await self.reply(request)
        self.memory.add_user(text)
        sentences: asyncio.Queue[Sentence | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(request, reply, sentences, send))
        try:
            while (sentence := await sentences.get()) is not None:
                yield sentence
            await reading
        finally:
            await cancel_and_wait(reading)

    async def _read(
        self,
        request: brain_pb2.ReplyRequest,
        reply: AsyncGenerator[brain_pb2.ReplyResponse, None],
        sentences: asyncio.Queue[Sentence | None],
        send: Send,
    ) -> None:
        """Reads the reply to its end, or to the largest number of sentences that is spoken."""
        limit, count = self.settings.max_reply_sentences, 0
        tone = request.tone if request.HasField("tone") else None
        try:
            async with aclosing(reply):
                async for response in reply:
                    if response.degraded:
                        await send(conversation_pb2.Degraded(service="brain", message=response.degraded))
                    max_chars, language = self.settings.max_sentence_chars, response.language
                    for said in split_sentence(response.text, max_chars, response.spoken, language):
                        count += 1
                        if count > limit:
                            message = f"the reply has more than {limit} sentences; the rest is left out"
                            await send(conversation_pb2.Degraded(service="brain", message=message))
                            return
                        sentence = Sentence(said.text, said.spoken, response.emotion, tone=tone, language=language)
                        sentences.put_nowait(sentence)
            self.memory.shorten()
        finally:
            sentences.put_nowait(None)
