"""One reply, from its first sentence to its last played sample."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any

from oviya.tasks import cancel_and_wait
from services.gateway.voice.reply_sender import ReplySender
from services.gateway.voice.segment import Segment
from services.gateway.voice.synthesized_segment import SynthesizedSegment


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
    """Synthesis, sending or the source of the sentences failed.  What was synthesized before has been played, unless
    sending failed."""
    INTERRUPTED = "interrupted"
    """`interrupt` stopped the reply before it had been played to its end."""


class SpeechHandle:
    """Follows and controls one reply.

    It owns the task that synthesizes and sends the reply.  Positions are seconds from the beginning of the reply's
    sound; times are the event loop's, in seconds, and None where a stage was not reached.

    Args:
        sender: sends the reply.

    Attributes:
        segments: the sentences in order, synthesized or sent at least in part.
        first_sentence_at: when the first sentence came.
        first_frame_at: when the first RVQ frame came of the first sentence that CSM spoke.
    """

    def __init__(self, sender: ReplySender) -> None:
        self.sender = sender
        self.segments: list[SynthesizedSegment] = []
        self.first_sentence_at: float | None = None
        self.first_frame_at: float | None = None
        self._cut_s: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> SpeechState:
        """The current stage."""
        if self._cut_s is not None:
            return SpeechState.INTERRUPTED
        if self._task is not None and self._task.done():
            failed = self._task.cancelled() or self._task.exception() is not None
            return SpeechState.FAILED if failed else SpeechState.DONE
        if self.sender.first_sent_at is not None:
            return SpeechState.PLAYING
        return SpeechState.PENDING if self.first_sentence_at is None else SpeechState.SYNTHESIZING

    @property
    def _is_over(self) -> bool:
        return self.state in (SpeechState.DONE, SpeechState.FAILED, SpeechState.INTERRUPTED)

    @property
    def first_audio_at(self) -> float | None:
        """When the first sound was sent."""
        return self.sender.first_sent_at

    @property
    def sent_s(self) -> float:
        """Seconds of sound that have been sent."""
        return self.sender.sent_s

    @property
    def played_s(self) -> float:
        """Seconds of sound that have been played: all that was sent where the position is unknown."""
        return self.sender.position_s if self._cut_s is None else self._cut_s

    @property
    def sent_segments(self) -> list[SynthesizedSegment]:
        """The sentences that have been sent, at least in part."""
        return [segment for segment in self.segments if segment.start_s is not None]

    @property
    def current_segment(self) -> SynthesizedSegment | None:
        """The sentence that is being spoken, or was last; None: none has begun."""
        position_s = self.played_s
        begun = [sent for sent in self.sent_segments if sent.start_s is not None and sent.start_s <= position_s]
        return begun[-1] if begun else None

    @property
    def sent_texts(self) -> list[str]:
        """The written forms of these sentences, without fillers."""
        return [sent.segment.text for sent in self.sent_segments if not sent.segment.filler]

    def start(self, speaking: Coroutine[Any, Any, None]) -> None:
        """Runs `speaking`, which synthesizes and sends the reply, in a task."""
        self._task = asyncio.create_task(speaking)

    async def wait(self) -> None:
        """Waits until everything has been played or the reply is interrupted.  Cancelling the wait interrupts the
        reply.

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

    def pause(self) -> float:
        """Sends nothing more until `resume`; returns the position at which playback stops.  Like `resume`, it does
        nothing in a final state."""
        return self.played_s if self._is_over else self.sender.pause()

    def resume(self) -> float:
        """Goes on from the start of the word in which the reply was paused; returns the position."""
        position_s = self.played_s
        if self._is_over:
            return position_s
        current = self.current_segment
        return self.sender.resume(current.word_start_s(position_s) if current is not None else 0.0)

    def interrupt(self) -> float:
        """Stops synthesis and sending, and returns the position at which playback is cut.

        Further calls return the same position.  A reply that is done or has failed keeps its state.
        """
        if not self._is_over:
            self._cut_s = self.sender.pause()
            if self._task is not None:
                self._task.cancel()
        return self.played_s

    def words_spoken(self) -> tuple[int, int] | None:
        """Returns the index of the sentence that is being spoken and the characters of it that have been spoken; None:
        no sentence has begun."""
        if (current := self.current_segment) is None:
            return None
        return current.segment.index, current.words.chars(current.share_at(self.played_s))

    def add_segment(self, segment: Segment) -> SynthesizedSegment:
        """Adds the next sentence, whose synthesis begins."""
        self.segments.append(SynthesizedSegment(segment))
        return self.segments[-1]
