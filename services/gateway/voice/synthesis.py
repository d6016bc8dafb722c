"""Synthesizes the sentences of a reply, one sentence ahead of what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import OviyaError, Unavailable
from oviya.v1 import conversation_pb2
from services.gateway import metrics
from services.gateway.voice.segment import CSM, FALLBACK, Send, Sentence, Voice
from services.gateway.voice.segment_planner import SegmentPlanner
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.synthesized_segment import SynthesizedSegment, VoiceStart
from services.gateway.voice.voice_context import VoiceContext

log = structlog.get_logger()

Synthesize = Callable[[SynthesizedSegment, Voice], AsyncGenerator[Pcm, None]]
"""Yields the sound of a segment in a voice, at `VOICE_RATE_HZ`."""


@dataclass
class Synthesis:
    """The synthesis of one reply.

    Args:
        planner: decides how each sentence is spoken.
        synthesize: runs a voice.
        context: earlier sentences of the session, for CSM.
        speech: the reply.
        send: takes Degraded events.
    """

    planner: SegmentPlanner
    synthesize: Synthesize
    context: VoiceContext
    speech: SpeechHandle
    send: Send

    def __post_init__(self) -> None:
        self._segments: asyncio.Queue[SynthesizedSegment | None] = asyncio.Queue()
        self._ahead = asyncio.Semaphore(1)  # segments that may wait while one is sent

    async def run(self, sentences: AsyncGenerator[Sentence, None]) -> None:
        """Synthesizes all sentences.

        Raises:
            OviyaError: a sentence could not be spoken, or `sentences` failed.
        """
        try:
            async with aclosing(sentences):
                async for sentence in sentences:
                    if self.speech.first_sentence_at is None:
                        self.speech.first_sentence_at = asyncio.get_running_loop().time()
                    plan = await self.planner.prosody(sentence)
                    await self._ahead.acquire()
                    index, context = len(self.speech.segments), self.context.segments()
                    segment = await self.planner.segment(index, sentence, plan, context)
                    synthesized = self.speech.add_segment(segment)
                    self._segments.put_nowait(synthesized)
                    await self._fill(synthesized)
        finally:
            self._segments.put_nowait(None)

    async def next_segment(self) -> SynthesizedSegment | None:
        """Waits for the next sentence to send; None: there are no more."""
        segment = await self._segments.get()
        self._ahead.release()
        return segment

    async def _fill(self, synthesized: SynthesizedSegment) -> None:
        """Synthesizes one sentence; with the fallback voice where CSM fails and the caller left the choice."""
        segment = synthesized.segment
        try:
            await self._run_voice(synthesized, segment.voice)
            if segment.voice == CSM:
                self.context.add(segment.options.speaker, segment.prompt_text, synthesized.frames)
        except OviyaError as error:
            if segment.voice != CSM:
                raise
            metrics.VOICE_FAILURES.labels(type(error).__name__).inc()
            if segment.options.voice == CSM:
                raise
            log.warning("CSM failed, using the fallback voice", error=type(error).__name__)
            self.planner.use_fallback()
            synthesized.discard_unsent()
            service = error.service if isinstance(error, Unavailable) else "csm"
            message = f"{error}; the fallback voice speaks"
            await self.send(conversation_pb2.Degraded(service=service, message=message))
            await self._run_voice(synthesized, FALLBACK)
        finally:
            synthesized.audio.put_nowait(None)

    async def _run_voice(self, synthesized: SynthesizedSegment, voice: Voice) -> None:
        language = self.planner.language(synthesized.segment, voice)
        synthesized.audio.put_nowait(VoiceStart(voice, language))
        async with aclosing(self.synthesize(synthesized, voice)) as sound:
            async for samples in sound:
                if self.speech.first_frame_at is None and voice == CSM:
                    self.speech.first_frame_at = synthesized.first_frame_at
                synthesized.audio.put_nowait(samples)
        metrics.VOICE_SENTENCES.labels("csm" if voice == CSM else "fallback").inc()
