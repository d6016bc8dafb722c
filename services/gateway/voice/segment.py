"""What the voices speak: sentences, their context, and how the caller wants to be spoken to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from oviya.text.languages import Language
from oviya.text.sentences import with_end
from oviya.v1 import common_pb2, conversation_pb2, csm_pb2, emotion_pb2

VOICE_RATE_HZ = 24_000
"""Sample rate of both voices: Mimi's own rate, and what the fallback voice is resampled to."""

Voice: TypeAlias = "conversation_pb2.Voice.ValueType"
AUTO, CSM, FALLBACK = conversation_pb2.VOICE_UNSPECIFIED, conversation_pb2.VOICE_CSM, conversation_pb2.VOICE_FALLBACK

NEUTRAL_PLAN = emotion_pb2.ProsodyPlan(
    emotion="neutral", style="neutral", temperature=0.9, pitch_scale=1.0, rate_scale=1.0, energy_scale=1.0
)
"""Prosody of a sentence while the emotion service is unavailable: CSM's default temperature, no scaling."""

ENGLISH = Language("en", "English")
"""Language of text in Latin letters, and of text without letters, where none is named."""


@dataclass(frozen=True)
class ReplyAudio:
    """A piece of a reply's sound, and where it begins in it, in seconds."""

    audio: common_pb2.Audio
    position_s: float


SpeechEvent = conversation_pb2.ReplySentence | ReplyAudio | conversation_pb2.WordsSpoken | conversation_pb2.Degraded
Send = Callable[[SpeechEvent], Awaitable[None]]


@dataclass(frozen=True)
class SpeechOptions:
    """How a caller wants to be spoken to; the same for all sentences of a call.

    Args:
        voice: the voice to use; AUTO leaves the choice to the gateway.
        speaker: speaker id of CSM's prompt.
        lead_s: seconds of sound that may be generated ahead of real time; 0: no limit.
        seed: seed of CSM's sampling for the first sentence, incremented for each further one; None: random.
        emotion: emotion of every sentence; empty: each has its own.
        reference: clip of the voice to speak with, which leads CSM's context; None: the speaker's own voice.
    """

    voice: Voice
    speaker: int = 0
    lead_s: float = 0.0
    seed: int | None = None
    emotion: str = ""
    reference: csm_pb2.ContextSegment | None = None


@dataclass(frozen=True)
class Sentence:
    """One sentence of a reply, before a voice and a prosody plan have been chosen.

    Args:
        text: the written form, for captions and memory.
        spoken: the spoken form, for the voices.
        emotion: name of the emotion to speak with.
        strict: raise InvalidInput for an unknown emotion instead of using the neutral plan.
        tone: how strongly to show the emotion, and what to blend in.
        language: language that it is in (BCP 47); empty: unknown.
        filler: whether it only bridges a wait.
    """

    text: str
    spoken: str
    emotion: str
    strict: bool = False
    tone: emotion_pb2.Tone | None = None
    language: str = ""
    filler: bool = False


@dataclass(frozen=True)
class Segment:
    """One sentence, with everything that a voice needs to speak it.

    Args:
        index: number of the sentence in its reply.
        text: the written form.
        spoken: the spoken form, in a script that the voice can read.
        language: language in which the fallback voice reads it.
        plan: prosody.
        voice: the voice that speaks it.
        options: what the caller asked for.
        context: earlier sentences for CSM, oldest first.
        filler: whether it only bridges a wait.
    """

    index: int
    text: str
    spoken: str
    language: Language
    plan: emotion_pb2.ProsodyPlan
    voice: Voice
    options: SpeechOptions
    context: list[csm_pb2.ContextSegment]
    filler: bool = False

    @property
    def prompt_text(self) -> str:
        """Text of CSM's prompt.  It ends with punctuation: CSM keeps talking after a text that does not."""
        return with_end(self.spoken)

    @property
    def seed(self) -> int | None:
        """Seed of this sentence.  Sentences of one reply must not sample the same noise."""
        return None if self.options.seed is None else (self.options.seed + self.index) % (1 << 64)
