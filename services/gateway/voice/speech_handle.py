"""One reply and its sentences, from the first sentence to the last played sample."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from oviya.audio.pcm import Pcm
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2
from services.gateway.voice.segment import Segment, Voice


@dataclass(frozen=True)
class VoiceStart:
    """Precedes the sound of a voice.  A second one means that another voice repeats the sentence from its beginning."""

    voice: Voice
    language: str


@dataclass(eq=False)
class SynthesizedSegment:
    """What was synthesized of a sentence and what was sent of it.

    Attributes:
        segment: the sentence.
        audio: sound that waits to be sent, bounded by the length of a sentence; None ends it.
        frames: the RVQ frames that CSM generated.
        first_frame_at: loop time of the first of them, in seconds.
        start_s: seconds of the reply's sound before the sentence; None: nothing of it has been sent.
        end_s: seconds of the reply's sound up to the end of what was sent.
        complete: whether it was sent to its end.
    """

    segment: Segment
    audio: asyncio.Queue[VoiceStart | Pcm | None] = field(default_factory=asyncio.Queue)
    frames: common_pb2.RvqFrames = field(default_factory=common_pb2.RvqFrames)
    first_frame_at: float | None = None
    start_s: float | None = None
    end_s: float = 0.0
    complete: bool = False

    def add_frames(self, frames: common_pb2.RvqFrames) -> None:
        """Adds RVQ frames from CSM."""
        if self.first_frame_at is None:
            self.first_frame_at = asyncio.get_running_loop().time()
        self.frames.codebooks = frames.codebooks
        self.frames.codes.extend(frames.codes)

    def discard_unsent(self) -> None:
        """Drops the sound that has not been sent."""
        while not self.audio.empty():
            self.audio.get_nowait()


class SpeechState(Enum):
    """Stage of a reply.  DONE, FAILED and INTERRUPTED are final."""

    PENDING = "pending"
    """No sentence has come yet."""
    SYNTHESIZING = "synthesizing"
    """There are sentences, and no sound of them has been sent."""
    PLAYING = "playing"
    """Sound has been sent, and the caller has not played all of it or more is to come."""
    DONE = "done"
    """Everything has been sent and played."""
    FAILED = "failed"
    """Synthesis, sending or the source of the sentences failed.  What was sent before is still played."""
    INTERRUPTED = "interrupted"
    """`interrupt` stopped the reply before it had been played to its end."""


class SpeechHandle:
    """Follows and controls one reply.

    It owns the task that synthesizes and sends the reply.  Positions are seconds from the beginning of the reply's
    sound; times are the event loop's, in seconds, and None where a stage was not reached.

    Attributes:
        segments: the sentences in order, synthesized or sent at least in part.
        sent_s: seconds of sound that have been sent.
        first_sentence_at: when the first sentence came.
        first_frame_at: when the first RVQ frame came of the first sentence that CSM spoke.
        first_audio_at: when the first sound was ready to be sent.
    """

    def __init__(self) -> None:
        self.segments: list[SynthesizedSegment] = []
        self.sent_s = 0.0
        self.first_sentence_at: float | None = None
        self.first_frame_at: float | None = None
        self.first_audio_at: float | None = None
        self._played_at = 0.0  # when the last sample that was sent will have been played
        self._cut_s: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> SpeechState:
        """The current stage."""
        if self._cut_s is not None:
            return SpeechState.INTERRUPTED
        if self._task is not None and self._task.done():
            if self._task.cancelled() or self._task.exception() is not None:
                return SpeechState.FAILED
            return SpeechState.PLAYING if self.played_s < self.sent_s else SpeechState.DONE
        if self.sent_s > 0:
            return SpeechState.PLAYING
        return SpeechState.PENDING if self.first_sentence_at is None else SpeechState.SYNTHESIZING

    @property
    def played_s(self) -> float:
        """Seconds of sound that have been played: all that was sent where sending is not paced."""
        if self._cut_s is not None:
            return self._cut_s
        return max(0.0, self.sent_s - max(0.0, self._played_at - asyncio.get_running_loop().time()))

    @property
    def sent_segments(self) -> list[SynthesizedSegment]:
        """The sentences that have been sent, at least in part."""
        return [segment for segment in self.segments if segment.start_s is not None]

    @property
    def sent_texts(self) -> list[str]:
        """The written forms of these sentences."""
        return [sent.segment.text for sent in self.sent_segments]

    def start(self, speaking: Coroutine[Any, Any, None]) -> None:
        """Runs `speaking`, which synthesizes and sends the reply, in a task."""
        self._task = asyncio.create_task(speaking)

    async def wait(self) -> None:
        """Waits until everything has been sent or the reply is interrupted.  Cancelling the wait interrupts the reply.

        Raises:
            OviyaError: a sentence could not be spoken, or the source of the sentences failed.
        """
        assert self._task is not None, "not started"
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            self.interrupt()
            await cancel_and_wait(self._task)
            raise
        if not self._task.cancelled():
            self._task.result()

    def interrupt(self) -> float:
        """Stops synthesis and sending, and returns the position at which playback is cut.

        Further calls return the same position.  A reply that is done or has failed keeps its state.
        """
        if self.state not in (SpeechState.INTERRUPTED, SpeechState.DONE, SpeechState.FAILED):
            self._cut_s = self.played_s
            if self._task is not None:
                self._task.cancel()
        return self.played_s

    def add_segment(self, segment: Segment) -> SynthesizedSegment:
        """Adds the next sentence, whose synthesis begins."""
        self.segments.append(SynthesizedSegment(segment))
        return self.segments[-1]

    def begin_segment(self, segment: SynthesizedSegment) -> None:
        """Records that the next sound begins `segment`, again where another voice repeats it."""
        segment.start_s = segment.end_s = self.sent_s

    def add_sent(self, segment: SynthesizedSegment, length_s: float, played_at: float) -> None:
        """Records that sound of `segment` was sent, and when it will have been played."""
        self.sent_s += length_s
        segment.end_s = self.sent_s
        self._played_at = played_at
