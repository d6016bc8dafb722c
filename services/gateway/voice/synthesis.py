"""Synthesizes the sentences of a reply, one sentence ahead of what is sent, and sends their sound at its pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import OviyaError, Unavailable
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway import metrics
from services.gateway.voice.loudness import Loudness
from services.gateway.voice.packetizer import Packetizer
from services.gateway.voice.segment import CSM, FALLBACK, VOICE_RATE_HZ, Send, Sentence, Voice
from services.gateway.voice.segment_planner import SegmentPlanner
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.synthesized_segment import SynthesizedSegment, VoiceStart
from services.gateway.voice.voice_context import VoiceContext

log = structlog.get_logger()

RESTART_PAUSE_S = 0.25
"""Silence before a sentence that broke off is repeated, so that listeners recognize a new start."""

Synthesize = Callable[[SynthesizedSegment, Voice], AsyncGenerator[Pcm, None]]
"""Yields the sound of a segment in a voice, at `VOICE_RATE_HZ`."""


@dataclass
class Synthesis:
    """The synthesis of one reply."""

    planner: SegmentPlanner
    synthesize: Synthesize
    context: VoiceContext
    speech: SpeechHandle
    send: Send
    turn: int

    def __post_init__(self) -> None:
        self._segments: asyncio.Queue[SynthesizedSegment | None] = asyncio.Queue()
        self._voice = self.context.voice
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
                    planner, index = self.planner, len(self.speech.segments)
                    context = self.context.segments(planner.options.speaker, planner.readiness.speakers)
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
            if segment.voice == CSM and not segment.filler:
                speaker, text = segment.options.speaker, segment.prompt_text
                self.context.add_sentence(self.turn, speaker, text, synthesized.frames, voice=self._voice)
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
            synthesized.end_sound()

    async def _run_voice(self, synthesized: SynthesizedSegment, voice: Voice) -> None:
        language = self.planner.language(synthesized.segment, voice)
        synthesized.start_voice(VoiceStart(voice, language))
        async with aclosing(self.synthesize(synthesized, voice)) as sound:
            async for samples in sound:
                if self.speech.first_frame_at is None and voice == CSM:
                    self.speech.first_frame_at = synthesized.first_frame_at
                synthesized.add_sound(samples)
        synthesized.synthesized = True
        metrics.VOICE_SENTENCES.labels("csm" if voice == CSM else "fallback").inc()


@dataclass
class SegmentSender:
    """Sends one sentence: a ReplySentence just before its first sound, then its sound."""

    sent: SynthesizedSegment
    speech: SpeechHandle
    audio_format: common_pb2.AudioFormat
    all_loudness: Mapping[Voice, Loudness]
    _start: VoiceStart | None = field(default=None, init=False)
    _announced: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._packetizer = Packetizer(self.audio_format)

    async def run(self) -> None:
        """Sends the sentence to its end."""
        energy_scale = self.sent.segment.plan.energy_scale
        while (part := await self.sent.audio.get()) is not None:
            if isinstance(part, VoiceStart):
                await self._start_voice(part)
            else:
                await self._push(self._packetizer.push(self._loudness.process(part, energy_scale)))
        if self._start is not None:
            await self._flush()

    @property
    def _loudness(self) -> Loudness:
        assert self._start is not None, "sound without a voice"
        return self.all_loudness[self._start.voice]

    async def _start_voice(self, start: VoiceStart) -> None:
        """Starts a voice; after the last sound of another one and a pause where that one has been sent."""
        if self._announced:
            await self._flush()
            self._announced = False
            self._start = start
            await self._push(self._packetizer.push(np.zeros(round(RESTART_PAUSE_S * VOICE_RATE_HZ), np.float32)))
            return
        if self._start is not None:
            self._loudness.flush()  # sound that was never sent
            self._packetizer = Packetizer(self.audio_format)
        self._start = start

    async def _flush(self) -> None:
        await self._push(self._packetizer.push(self._loudness.flush()))
        await self._push(self._packetizer.flush())

    async def _push(self, packets: Iterable[tuple[common_pb2.Audio, float]]) -> None:
        for audio, length_s in packets:
            if not self._announced:
                await self._announce()
            await self.speech.sender.push(audio, length_s)

    async def _announce(self) -> None:
        self._announced = True
        start_s = self.speech.sender.made_s
        segment, start = self.sent.segment, self._start
        assert start is not None, "sound without a voice"

        def begin() -> None:
            self.sent.start_s = start_s

        sentence = conversation_pb2.ReplySentence(
            index=segment.index,
            text=segment.text,
            plan=segment.plan,
            voice=start.voice,
            spoken=segment.spoken,
            language=start.language,
            filler=segment.filler,
        )
        await self.speech.sender.push(sentence, on_sent=begin)
