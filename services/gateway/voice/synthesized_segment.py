"""One sentence of a reply: what was synthesized of it, what was sent, and when which words are heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.text.speakable import speakable
from oviya.text.spoken_words import SpokenWords
from oviya.v1 import common_pb2
from services.gateway.voice.segment import VOICE_RATE_HZ, Segment, Voice

SPEAKING_CHARS_A_SECOND = 15.0
"""A usual rate of English speech, for the length of a sentence whose sound is not complete."""
AUDIBLE = 0.01
"""Amplitude from which on sound is speech rather than the silence around it: -40 dB of full scale."""


@dataclass(frozen=True)
class VoiceStart:
    """Precedes the sound of a voice.  A second one means that another voice repeats the sentence from its beginning."""

    voice: Voice
    language: str


@dataclass(eq=False)
class SynthesizedSegment:
    """What was synthesized of a sentence and what was sent of it.

    Positions are seconds of the reply's sound.

    Attributes:
        segment: the sentence.
        audio: sound that waits to be sent, bounded by the length of a sentence; None ends it.
        frames: the RVQ frames that CSM generated.
        first_frame_at: loop time of the first of them, in seconds.
        start_s: position at which the sentence begins; None: nothing of it has been sent.
        synthesized: whether all of its sound has been synthesized.
    """

    segment: Segment
    audio: asyncio.Queue[VoiceStart | Pcm | None] = field(default_factory=asyncio.Queue)
    frames: common_pb2.RvqFrames = field(default_factory=common_pb2.RvqFrames)
    first_frame_at: float | None = None
    start_s: float | None = None
    synthesized: bool = False

    def __post_init__(self) -> None:
        self._samples = 0
        self._audible: tuple[int, int] | None = None  # first and last sample of the speech

    def add_frames(self, frames: common_pb2.RvqFrames) -> None:
        """Adds RVQ frames from CSM."""
        if self.first_frame_at is None:
            self.first_frame_at = asyncio.get_running_loop().time()
        self.frames.codebooks = frames.codebooks
        self.frames.codes.extend(frames.codes)

    def start_voice(self, start: VoiceStart) -> None:
        """Begins the sentence, again where another voice repeats it."""
        self._samples, self._audible = 0, None
        self.audio.put_nowait(start)

    def add_sound(self, samples: Pcm) -> None:
        """Adds sound, shape (samples,), at `VOICE_RATE_HZ`."""
        loud = np.flatnonzero(np.abs(samples) >= AUDIBLE)
        if len(loud):
            first = self._samples + int(loud[0]) if self._audible is None else self._audible[0]
            self._audible = first, self._samples + int(loud[-1]) + 1
        self._samples += len(samples)
        self.audio.put_nowait(samples)

    def end_sound(self) -> None:
        """Ends the sentence; `synthesized` says whether it is whole."""
        self.audio.put_nowait(None)

    def discard_unsent(self) -> None:
        """Drops the sound that has not been sent."""
        while not self.audio.empty():
            self.audio.get_nowait()

    @cached_property
    def words(self) -> SpokenWords:
        """When its words are spoken."""
        return SpokenWords(self.segment.text)

    def share_at(self, position_s: float) -> float:
        """Returns the part of its words' time, 0 to 1, that has passed at a position."""
        if self.start_s is None:
            return 0.0
        start_s, end_s = self._speech_s
        share = (position_s - self.start_s - start_s) / (end_s - start_s) if end_s > start_s else 1.0
        return min(max(share, 0.0), 1.0)

    def word_start_s(self, position_s: float) -> float:
        """Returns the position at which the word begins that is spoken at `position_s`."""
        assert self.start_s is not None, "nothing has been sent"
        start_s, end_s = self._speech_s
        word_s = start_s + self.words.word_start(self.share_at(position_s)) * (end_s - start_s)
        return self.start_s + (word_s if word_s > start_s else 0.0)

    @property
    def _speech_s(self) -> tuple[float, float]:
        """Start and end of the speech in the sentence's sound, in seconds; an estimate until all is synthesized."""
        first, last = self._audible or (0, self._samples)
        start_s, end_s = first / VOICE_RATE_HZ, last / VOICE_RATE_HZ
        if not self.synthesized:
            end_s = max(end_s, start_s + self._expected_s)
        return start_s, end_s

    @cached_property
    def _expected_s(self) -> float:
        """Estimated length of the speech in seconds."""
        text = self.segment.text
        return len(speakable(text) or text) / SPEAKING_CHARS_A_SECOND
