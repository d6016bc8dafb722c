"""Speaks replies to one caller: synthesis, loudness and pacing behind one call that returns a `SpeechHandle`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from oviya.audio.pcm import Pcm
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.csm import CsmVoice
from services.gateway.voice.fallback import ACTIVE_LEVEL_DBOV, FallbackVoice
from services.gateway.voice.loudness import Loudness
from services.gateway.voice.pacer import Pacer
from services.gateway.voice.segment import (
    CSM,
    FALLBACK,
    VOICE_RATE_HZ,
    Send,
    Sentence,
    SpeechOptions,
    Voice,
)
from services.gateway.voice.segment_planner import SegmentPlanner
from services.gateway.voice.shaping import shaped
from services.gateway.voice.speech_handle import SpeechHandle, SynthesizedSegment
from services.gateway.voice.synthesis import SegmentSender, Synthesis
from services.gateway.voice.voice_context import VoiceContext


@dataclass(kw_only=True)
class SpeechOutput:
    """Speaks to one caller.  Keeps from reply to reply what makes the voice steady."""

    options: SpeechOptions
    audio_format: common_pb2.AudioFormat
    mesh: Mesh
    readiness: Readiness
    csm: CsmVoice
    fallback: FallbackVoice
    settings: GatewaySettings

    def __post_init__(self) -> None:
        gain = self.settings.voice_gain
        self._pacer = Pacer(self.options.lead_s)
        self.context = VoiceContext(self.settings.voice_context_turns)
        self._loudness: dict[Voice, Loudness] = {
            CSM: Loudness(VOICE_RATE_HZ, gain=gain),
            FALLBACK: Loudness(VOICE_RATE_HZ, gain=gain, expected_dbov=ACTIVE_LEVEL_DBOV),
        }

    def say(self, sentences: AsyncGenerator[Sentence, None], send: Send, turn: int = 0) -> SpeechHandle:
        """Starts to speak a reply.  Replies of one caller must follow each other.

        While a sentence is sent, the next one is synthesized, and no further one: sound that is never played should
        cost little.

        A sentence that CSM cannot speak is spoken by the fallback voice where the caller left the choice, and so is the
        rest of the reply.  If a part of it was already sent, the sentence is repeated from its beginning after a short
        pause, with a second ReplySentence of the same index: it is unknown which words were heard, and repeating some
        loses less than omitting some.

        Args:
            sentences: what to say.  If it raises, the reply fails after the sentences before.
            send: takes the events: ReplySentence, Audio, Degraded.
            turn: number of the turn that the reply answers.

        Returns:
            The reply; `wait` must be called.
        """
        speech = SpeechHandle()
        speech.start(self._speak(sentences, send, speech, turn))
        return speech

    async def _speak(
        self, sentences: AsyncGenerator[Sentence, None], send: Send, speech: SpeechHandle, turn: int
    ) -> None:
        planner = SegmentPlanner(self.mesh, self.readiness, self.options, send)
        synthesis = Synthesis(planner, self._synthesize, self.context, speech, send, turn)
        task = asyncio.create_task(synthesis.run(sentences))
        try:
            while (segment := await synthesis.next_segment()) is not None:
                await SegmentSender(segment, speech, self.audio_format, self._loudness, self._pacer, send).run()
            await task
        finally:
            await cancel_and_wait(task)
            for loudness in self._loudness.values():
                loudness.flush()  # what an interrupted reply left in them

    def _synthesize(self, synthesized: SynthesizedSegment, voice: Voice) -> AsyncGenerator[Pcm, None]:
        segment = synthesized.segment
        if voice != CSM:
            return self.fallback.speak(segment.spoken, segment.plan, segment.options.speaker, segment.language.code)
        sound = self.csm.speak(segment, synthesized.add_frames)
        if segment.plan.style in self.readiness.styles:
            return sound  # the checkpoint's style token covers the plan
        return shaped(sound, VOICE_RATE_HZ, segment.plan)
