"""The voices: what each needs to speak a sentence, and which one speaks it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from oviya.audio.pcm import Pcm
from oviya.text.scripts import Language
from oviya.text.sentences import with_end
from oviya.v1 import common_pb2, conversation_pb2, csm_pb2, emotion_pb2
from services.gateway.voice.fallback import FallbackVoice

Voice: TypeAlias = "conversation_pb2.Voice.ValueType"
AUTO, CSM, FALLBACK = conversation_pb2.VOICE_UNSPECIFIED, conversation_pb2.VOICE_CSM, conversation_pb2.VOICE_FALLBACK

NEUTRAL_PLAN = emotion_pb2.ProsodyPlan(
    emotion="neutral", style="neutral", temperature=0.9, pitch_scale=1.0, rate_scale=1.0, energy_scale=1.0
)
"""How a sentence is spoken while the emotion service cannot say: CSM's own temperature, nothing else changed."""


ENGLISH = Language("en", "English")
"""What text in Latin letters, or in no letters, is read in."""


@dataclass(frozen=True)
class SpeechOptions:
    """How a caller wants to be spoken to; the same for all sentences of a call.

    Args:
        voice: which voice.
        speaker: speaker id of CSM's prompt.
        lead_s: how far ahead of real time sound may be made; 0: as fast as possible.
        seed: seed of CSM's sampling for the first sentence, each further one adds 1; None: a fresh one.
    """

    voice: Voice
    speaker: int = 0
    lead_s: float = 0.0
    seed: int | None = None


@dataclass
class Line:
    """One sentence to speak, and what speaking it with CSM leaves behind.

    `text` is as a person reads it, `spoken` as it is said, `language` what the fallback voice reads it in.
    `context` is what CSM hears before it, oldest first; `frames` and `first_frame_at` (loop time in seconds) are filled
    while CSM speaks.
    """

    index: int
    text: str
    spoken: str
    language: Language
    plan: emotion_pb2.ProsodyPlan
    options: SpeechOptions
    context: list[csm_pb2.ContextSegment]
    frames: common_pb2.RvqFrames = field(default_factory=common_pb2.RvqFrames)
    first_frame_at: float | None = None

    @property
    def prompt_text(self) -> str:
        """What CSM is given of the sentence: it goes on talking where a text has no end."""
        return with_end(self.spoken)

    @property
    def seed(self) -> int | None:
        """Seed of this sentence: a text that is split must not sample the same noise for every piece."""
        return None if self.options.seed is None else (self.options.seed + self.index) % (1 << 64)


class SpeechVoice(Protocol):
    """Speaks one sentence."""

    def speak(self, line: Line) -> AsyncGenerator[Pcm, None]:
        """Yields the sentence's sound as it is made, 24 kHz.

        Raises:
            OviyaError: the voice cannot speak, or not on.
        """
        ...


class FallbackSpeech:
    """The fallback synthesizer as a voice of the mesh.

    Args:
        synthesizer: what speaks.
    """

    def __init__(self, synthesizer: FallbackVoice) -> None:
        self._synthesizer = synthesizer

    def speak(self, line: Line) -> AsyncGenerator[Pcm, None]:
        """Yields the sentence's sound as it is made, 24 kHz.

        Raises:
            OviyaError: the synthesizer failed.
        """
        return self._synthesizer.speak(line.spoken, line.plan, line.options.speaker, line.language.code)
