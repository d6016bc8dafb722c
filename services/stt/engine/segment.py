"""A segment: the part of a turn that is decoded as one, and what is known of its words.

Whisper understands a few words better together with those before them, and its window costs the same whether it is full
or not.  A segment therefore stays open over pauses and is decoded from its start again and again: drafts while
the speaker talks, a final decode whenever they fall silent.  A final decode is void once there is more speech.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from services.stt import metrics
from services.stt.decode.agreement import LocalAgreement, merge_final
from services.stt.recognizer import Request, Transcript, Word, to_samples, to_seconds

log = structlog.get_logger()

FIRST_DRAFT_S, EARLY_DRAFT_EVERY_S, DRAFT_EVERY_S = 0.25, 0.15, 0.4
"""Speech in seconds before the first draft, and sound between two drafts, in the first second and afterwards.  Two
drafts with little sound between them agree on more errors."""
EARLY_DRAFT_SHARE, DRAFT_SHARE = 1.0, 0.5
"""The share of the time that drafts of one segment may take, with their wait in the queue, in the first second and
afterwards: on a busy machine every speaker gets fewer."""

DETECT_S = 2.0
"""Speech in seconds from which on its language is detected.  With less, Whisper is often wrong: it is taken to be that
of an earlier segment, if there is one."""

EDGE_S = 0.1
"""How far words may extend beyond what the voice detector takes for speech, which misses soft consonants."""


class Decodes(Protocol):
    """Where decodes are submitted; see `DecodeQueue`."""

    def submit(self, make_request: Callable[[], Request], *, final: bool) -> Future[Transcript]: ...


class Segment:
    """One segment.

    Args:
        decodes: runs the decodes.
        start: position of the first sample in the session.
        vocabulary: words and phrases that the speaker is likely to say.
        language: the session's so far, as Whisper's code; None: unknown.
        clock: returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        decodes: Decodes,
        start: int,
        vocabulary: Sequence[str] = (),
        language: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decodes = decodes
        self._start = start
        self._vocabulary = tuple(vocabulary)
        self._known_language = language
        self._clock = clock
        self._pieces: list[Pcm] = []
        self._speech = 0  # samples
        self._first_speech: int | None = None  # offsets of what the voice detector takes for speech
        self._last_speech = 0
        self.length = 0
        """Samples so far."""
        self._agreement = LocalAgreement()
        self._draft: Future[Transcript] | None = None
        self._drafted_at, self._drafted = 0.0, 0  # clock and length when the last draft was submitted
        self._draft_ended_at = 0.0  # clock
        self._next_draft = 0  # length
        self._final: Future[Transcript] | None = None
        self._words: list[Word] | None = None  # of the final decode
        self.language = ""
        """The last one that was recognized, as Whisper's code."""

    @property
    def known_language(self) -> str | None:
        """The session's language so far: that of this segment if it has enough speech, else of an earlier one."""
        return (self._speech >= to_samples(DETECT_S) and self.language) or self._known_language

    @property
    def committed(self) -> list[Word]:
        """Words that nothing takes back; their times are not final."""
        return self._agreement.committed

    def add(self, samples: Pcm, *, speech: bool) -> None:
        """Adds samples, shape (samples,); speech makes a final decode void."""
        if speech and self._first_speech is None:
            self._first_speech = self.length
            self._next_draft = self.length + to_samples(FIRST_DRAFT_S)
        self._pieces.append(samples)
        self.length += len(samples)
        if speech:
            self._last_speech = self.length
            self._speech += len(samples)
            self.drop_final()

    def draft(self) -> None:
        """Takes the result of a draft that has finished, and submits the next when it is due."""
        if self._draft is not None and self._draft.done():
            self._take_draft(self._draft)
            self._draft = None
        if self._draft is None and self.length >= self._next_draft:
            self._drafted_at, self._drafted = self._clock(), self.length
            self._draft = self._decodes.submit(lambda: self._snapshot(final=False), final=False)
            self._draft.add_done_callback(self._note_end_of_draft)
            if self._draft.done():
                self.draft()

    def begin_final(self) -> Future[Transcript]:
        """Returns the final decode of the sound so far; submits it unless that was done."""
        if self._final is None:
            if self._draft is not None:
                self._draft.cancel()
            request = self._snapshot(final=True)
            self._final = self._decodes.submit(lambda: request, final=True)
        return self._final

    def drop_final(self) -> None:
        """Discards the final decode, because it lacks what has been said since."""
        if self._final is not None:
            self._final.cancel()
            self._final = self._words = None

    def close(self) -> None:
        """Cancels all decodes."""
        self.drop_final()
        if self._draft is not None:
            self._draft.cancel()

    def words(self) -> list[Word]:
        """Returns the words of the final decode, which has finished; times are of the session.

        Raises:
            Busy: the decode waited too long.
            Unavailable: the model broke.
        """
        if self._words is None:
            transcript = self.begin_final().result()
            self.language = transcript.language
            self._words = [self._place(word) for word in merge_final(self.committed, transcript.words)]
            # The pause makes the last word whole.  A draft that still runs knows less than the final decode.
            self._draft = None
            self._agreement.update(transcript.words, to_seconds(self.length))
        return self._words

    def split(self, overlap_s: float) -> tuple[list[Word], Segment]:
        """Ends the segment in the middle of speech, after a final decode.

        Returns:
            The words that end at least `overlap_s` before its end, or are committed; and a segment with the sound after
            them.
        """
        words = self.words()
        limit_s = to_seconds(self._start + self.length) - overlap_s
        kept = max(len(self.committed), sum(word.end_s <= limit_s for word in words))
        cut_s = words[kept - 1].end_s if kept else limit_s
        cut = min(max(to_samples(cut_s) - self._start, 0), self.length)
        rest = Segment(self._decodes, self._start + cut, self._vocabulary, self.known_language, self._clock)
        rest.language = self.language
        rest.add(self._sound()[cut:], speech=True)
        return words[:kept], rest

    def _note_end_of_draft(self, _: Future[Transcript]) -> None:
        self._draft_ended_at = self._clock()

    def _take_draft(self, draft: Future[Transcript]) -> None:
        turnaround_s = self._draft_ended_at - self._drafted_at
        early = self._drafted - (self._first_speech or 0) < to_samples(1.0)
        every_s, share = (EARLY_DRAFT_EVERY_S, EARLY_DRAFT_SHARE) if early else (DRAFT_EVERY_S, DRAFT_SHARE)
        self._next_draft = self._drafted + to_samples(max(every_s, turnaround_s / share))
        if draft.cancelled():
            return
        if error := draft.exception():
            metrics.DRAFTS_FAILED.inc()
            log.warning("a draft failed", error=type(error).__name__)
            return
        transcript = draft.result()
        self.language = transcript.language
        self._agreement.update(transcript.words, to_seconds(self._drafted))

    def _place(self, word: Word) -> Word:
        """Returns a word with times of the session, within speech: an aligner gives the first word the silence before
        it."""
        first, last = (to_seconds(self._start + offset) for offset in (self._first_speech or 0, self._last_speech))
        start_s, end_s = (
            min(max(to_seconds(self._start) + time_s, first - EDGE_S), last + EDGE_S)
            for time_s in (word.start_s, word.end_s)
        )
        return replace(word, start_s=max(start_s, 0.0), end_s=max(start_s, end_s))

    def _snapshot(self, *, final: bool) -> Request:
        sound = self._sound()
        if not final:
            self._drafted = len(sound)
        speech = min(self._speech, len(sound))
        language = self._known_language if speech < to_samples(DETECT_S) else None
        return Request(sound, to_seconds(speech), self._vocabulary, language, final)

    def _sound(self) -> Pcm:
        """Returns the sound so far; may be called in the thread of the queue."""
        pieces = list(self._pieces)
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
