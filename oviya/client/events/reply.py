"""Events of the reply: its sentences, its sound, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass, field

from oviya.audio.pcm import Pcm
from oviya.client.events.base import Event
from oviya.emotions.values import ProsodyPlan


@dataclass(frozen=True, slots=True)
class Sentence(Event):
    """A sentence of the reply.  Precedes its audio; after ReplyResumed it may come a second time."""

    index: int
    text: str
    """The written form, for captions: "It costs $5."."""
    plan: ProsodyPlan
    voice: str
    """``csm`` or ``fallback``."""
    spoken: str = ""
    """The spoken form: "It costs five dollars."."""
    language: str = ""
    """Language of the spoken form (BCP 47), e.g. ``en``."""
    filler: bool = False
    """Whether it only bridges a long wait ("Let me think.") and belongs to no answer."""


@dataclass(frozen=True, slots=True)
class AudioChunk(Event):
    """The next chunk of the reply's audio, shape (samples,)."""

    samples: Pcm = field(repr=False)
    sample_rate_hz: int
    position_s: float = 0.0
    """Where the chunk begins in the reply's audio.  Goes back after ReplyResumed; 0 in the answer to Speak."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the end of the user's speech (of the request, for text) to each stage; None: not reached."""

    turn_end_s: float | None = None
    final_transcript_s: float | None = None
    first_sentence_s: float | None = None
    first_frame_s: float | None = None
    first_audio_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReplyEnded(Event):
    """The reply, `duration_s` long, was sent and played to its end (with ``lead_s=0``: was sent)."""

    duration_s: float
    latency: Latency


@dataclass(frozen=True, slots=True)
class WordsSpoken(Event):
    """The first `chars` characters of the text of sentence `index` have been spoken.  Sent at the pace of playback."""

    index: int
    chars: int


@dataclass(frozen=True, slots=True)
class ReplyPaused(Event):
    """The reply is paused because somebody speaks.  Drop the audio that has not been played.

    ReplyResumed or Interrupted follows.
    """

    position_s: float
    """Position in the reply's audio up to which it was heard."""


@dataclass(frozen=True, slots=True)
class ReplyResumed(Event):
    """The paused reply goes on; audio follows from `position_s` on, the start of the word that was cut."""

    position_s: float


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """The reply was stopped and has no further events.  Drop the audio that has not been played.

    `reason` is speech (the user spoke over it), stop_phrase or requested (`Conversation.interrupt`).
    """

    reason: str
    heard_text: str
    """The words that were heard, as they are remembered; empty: none."""
    unheard_text: str
    """The words that were not heard, as far as they had been generated."""
    position_s: float
    """Position in the reply's audio up to which it was heard."""
