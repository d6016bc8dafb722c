"""The reply that is being given: what may be done to it from outside while it is made and spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from oviya.errors import InvalidInput
from oviya.v1 import conversation_pb2
from services.gateway.voice.speech_handle import SpeechHandle, SpeechState

ECHO_DELAY_S = 3.0
"""Longest time in seconds from a word of a reply to its echo in the user's sound."""

ROUNDING_S = 0.01
"""Seconds by which a report may be beyond the end of the sound: callers count samples at their own rate."""


class RunningReply:
    """Pauses, resumes and stops the reply of the running turn, also before its speech has begun.

    Attributes:
        turn: number of the turn that is being answered; None: none is.
        speech: its speech; None: it has not begun.
        stop_reason: why the last reply was stopped.
        is_paused: whether it is paused.
    """

    def __init__(self) -> None:
        self.turn: int | None = None
        self.speech: SpeechHandle | None = None
        self.stop_reason = conversation_pb2.INTERRUPT_REASON_UNSPECIFIED
        self._last: tuple[int, SpeechHandle] | None = None
        self.is_paused = self._is_stopped = False
        self._overlap_from_s = 0.0
        self._over = asyncio.Event()
        self._over.set()

    @contextmanager
    def of_turn(self, turn: int) -> Iterator[None]:
        """Marks the reply of a turn as running.  It begins paused where `is_paused` was set before."""
        self.turn, self.speech, self._is_stopped = turn, None, False
        self._over.clear()
        try:
            yield
        finally:
            if self.speech is not None:
                self._last = turn, self.speech
            self.turn = self.speech = None
            self.is_paused = False
            self._over.set()

    def begin(self, speech: SpeechHandle) -> None:
        """Takes the speech, and does to it what was asked before."""
        self.speech = speech
        if self._is_stopped:
            speech.interrupt()
        elif self.is_paused:
            speech.pause()

    def pause(self) -> float | None:
        """Pauses the reply; returns the position where it stops; None: no sound of it has been sent, or it is over."""
        self.is_paused = True
        if self.speech is None:
            return None
        position_s = self.speech.pause()
        return position_s if self.speech.state is SpeechState.PLAYING else None

    def resume(self) -> float | None:
        """Lets the reply go on; returns the position where it does; None: no sound of it has been sent, or it is
        over."""
        self.is_paused = False
        if self.speech is None:
            return None
        position_s = self.speech.resume()
        return position_s if self.speech.state is SpeechState.PLAYING else None

    async def stop(self, reason: conversation_pb2.InterruptReason.ValueType) -> None:
        """Stops the reply, and waits until that has been reported."""
        self._is_stopped, self.stop_reason = True, reason
        if self.speech is not None:
            self.speech.interrupt()
        await self._over.wait()

    def report_played(self, turn: int, position_s: float) -> None:
        """Takes what the caller has played of a reply.  A report on the last reply that comes late is not used.

        Raises:
            InvalidInput: there is no such reply, the position is negative, or so much of it has not been sent.
        """
        speech = self.speech if turn == self.turn else None
        late = self._last[1] if self._last is not None and self._last[0] == turn else None
        known = speech or late
        if known is None:
            raise InvalidInput("played.turn", turn, "must be the turn of the running or the last reply")
        if not 0 <= position_s <= known.sender.made_s + ROUNDING_S:
            limit = f"must be 0 to the {known.sender.made_s:.2f} s that were sent"
            raise InvalidInput("played.position", f"{position_s:.2f} s", limit)
        if speech is not None:
            speech.sender.report(position_s)

    def mark_overlap(self) -> None:
        """Records that the user begins to speak."""
        self._overlap_from_s = self.speech.played_s if self.speech is not None else 0.0

    def overlap_words(self) -> str:
        """Returns the words of the reply whose echo may be in what the user said since `mark_overlap`."""
        speech = self.speech or (self._last[1] if self._last is not None else None)
        if speech is None:
            return ""
        words: list[str] = []
        for sent in speech.sent_segments:
            begin = sent.words.chars(sent.share_at(self._overlap_from_s - ECHO_DELAY_S))
            words.append(sent.segment.text[begin : sent.words.chars(sent.share_at(speech.played_s))])
        return " ".join(words)

    def is_asking(self) -> bool:
        """Whether the sentence that is being spoken is a question."""
        current = self.speech.current_segment if self.speech is not None else None
        return current is not None and current.segment.text.rstrip("\"')]\u201d\u2019 ").endswith(("?", "\uff1f"))
