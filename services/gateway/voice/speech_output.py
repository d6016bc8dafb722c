"""Speaks replies to one caller: synthesis, loudness and pacing behind one call that returns a `SpeechHandle`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from oviya.audio.pcm import Pcm
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.csm import CsmVoice
from services.gateway.voice.fallback import ACTIVE_LEVEL_DBOV, FallbackVoice
from services.gateway.voice.loudness import Loudness
from services.gateway.voice.playback import Playback
from services.gateway.voice.reply_sender import PlayedListener, ReplySender
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
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.synthesis import SegmentSender, Synthesis
from services.gateway.voice.synthesized_segment import SynthesizedSegment
from services.gateway.voice.voice_context import VoiceContext

WORDS_EVERY_S = 0.1
"""Interval in seconds of the reports on spoken words: a short word takes about 0.2 s."""


@dataclass(kw_only=True)
class SpeechOutput:
    """Speaks to one caller.  Keeps from reply to reply what makes the voice steady.

    Args:
        options: how to speak the replies that follow.
        listener: learns what the caller plays; None: nobody does.
    """

    options: SpeechOptions
    audio_format: common_pb2.AudioFormat
    mesh: Mesh
    readiness: Readiness
    csm: CsmVoice
    fallback: FallbackVoice
    settings: GatewaySettings
    listener: PlayedListener | None = None

    def __post_init__(self) -> None:
        gain = self.settings.voice_gain
        self._playback = Playback(self.options.lead_s)
        self.context = VoiceContext(self.settings.voice_context_turns)
        self._loudness: dict[Voice, Loudness] = {
            CSM: Loudness(VOICE_RATE_HZ, gain=gain),
            FALLBACK: Loudness(VOICE_RATE_HZ, gain=gain, expected_dbov=ACTIVE_LEVEL_DBOV),
        }

    def say(
        self,
        sentences: AsyncGenerator[Sentence, None],
        send: Send,
        *,
        turn: int = 0,
        held: bool = False,
        words: bool = False,
    ) -> SpeechHandle:
        """Starts to speak a reply.  Replies of one caller must follow each other.

        While a sentence is sent, the next one is synthesized, and no further one: sound that is never played should
        cost little.

        A sentence that CSM cannot speak is spoken by the fallback voice where the caller left the choice, and so is the
        rest of the reply.  If a part of it was already sent, the sentence is repeated from its beginning after a short
        pause, with a second ReplySentence of the same index: it is unknown which words were heard, and repeating some
        loses less than omitting some.

        Args:
            sentences: what to say.  If it raises, the reply fails after the sentences before.
            send: takes the events.
            turn: number of the turn that is answered, for the voice's context.
            held: synthesize, but send no sound before `SpeechHandle.resume`.
            words: report which words have been spoken, at the pace of playback.

        Returns:
            The reply; `wait` must be called.
        """
        speech = SpeechHandle(ReplySender(self._playback, send, held=held, listener=self.listener))
        speech.start(self._speak(sentences, send, speech, turn, words))
        return speech

    async def _speak(
        self, sentences: AsyncGenerator[Sentence, None], send: Send, speech: SpeechHandle, turn: int, words: bool
    ) -> None:
        planner = SegmentPlanner(self.mesh, self.readiness, self.options, send)
        synthesis = Synthesis(planner, self._synthesize, self.context, speech, send, turn)
        task = asyncio.create_task(synthesis.run(sentences))
        reporting = asyncio.create_task(self._report_words(speech, send)) if words else None
        try:
            while (segment := await synthesis.next_segment()) is not None:
                await SegmentSender(segment, speech, self.audio_format, self._loudness).run()
            try:
                await task
            except Exception:
                await speech.sender.finish()  # what was made before is played first, also where the reply is paused
                raise
            await speech.sender.finish()
            if words and self._playback.paced and (spoken := speech.words_spoken()):
                await send(conversation_pb2.WordsSpoken(index=spoken[0], chars=spoken[1]))
        finally:
            await cancel_and_wait(task, reporting)
            for loudness in self._loudness.values():
                loudness.flush()  # what an interrupted reply left in them

    async def _report_words(self, speech: SpeechHandle, send: Send) -> None:
        """Sends `WordsSpoken` as words are spoken."""
        reported: tuple[int, int] | None = None
        while True:
            await asyncio.sleep(WORDS_EVERY_S)
            spoken = speech.words_spoken()
            if spoken is not None and spoken != reported and self._playback.paced:
                reported = spoken
                await send(conversation_pb2.WordsSpoken(index=spoken[0], chars=spoken[1]))

    def _synthesize(self, synthesized: SynthesizedSegment, voice: Voice) -> AsyncGenerator[Pcm, None]:
        segment = synthesized.segment
        if voice != CSM:
            return self.fallback.speak(segment.spoken, segment.plan, segment.options.speaker, segment.language.code)
        sound = self.csm.speak(segment, synthesized.add_frames)
        if segment.plan.style in self.readiness.styles:
            return sound  # the checkpoint's style token covers the plan
        return shaped(sound, VOICE_RATE_HZ, segment.plan)
