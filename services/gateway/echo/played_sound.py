"""The sound that a caller plays, on the clock of the event loop: the reference of echo cancellation."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler

CONTIGUOUS_S = 0.03
"""Pieces that begin within 30 ms of the end of the one before are one sound.  Late timers and jitter in the positions
that callers report make such differences, and a step in the reference costs more than a constant error, which is a part
of the echo's delay."""
FADE_S = 0.1
"""Callers may fade out over up to 100 ms when sound is dropped (conversation.proto), so the reference does too."""
MAX_KEPT_S = 62.0
"""Seconds of sound that are kept: the longest lead of a caller (GATEWAY_MAX_LEAD_S is 60 by default) and a little.
Older sound is dropped, e.g. if the caller sends no sound that could hold an echo."""


@dataclass
class _Piece:
    start: int
    samples: Pcm

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


class PlayedSound:
    """Sound by sample index: index 0 is loop time 0, so that index n is played at n / rate_hz.

    Args:
        rate_hz: rate of the indices and of what `read` returns.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._pieces: deque[_Piece] = deque()
        self._resampler: Resampler | None = None
        self._source_hz = 0
        self._next = 0  # index of the resampler's next sample
        self._end_s = -math.inf  # when the sound that was added ends

    @property
    def samples(self) -> int:
        """Samples that are kept."""
        return sum(len(piece.samples) for piece in self._pieces)

    def add(self, samples: Pcm, rate_hz: int, at: float) -> None:
        """Adds sound that is played from loop time `at`.  What was to be played after `at` is dropped.

        Args:
            samples: shape (samples,), at `rate_hz`.
            rate_hz: their rate.
            at: loop time in seconds.
        """
        if self._resampler is None or rate_hz != self._source_hz or abs(at - self._end_s) > CONTIGUOUS_S:
            self._finish()
            self._drop_from(self._index(at))
            self._resampler, self._source_hz = Resampler(rate_hz, self._rate_hz), rate_hz
            self._next, self._end_s = self._index(at), at
        self._end_s += len(samples) / rate_hz
        self._append(self._resampler.push(samples))
        oldest = self._index(self._end_s - MAX_KEPT_S)
        while self._pieces and self._pieces[0].end <= oldest:
            self._pieces.popleft()

    def cut(self, at: float) -> None:
        """Drops what was to be played after loop time `at`, except for a fade-out."""
        if at >= self._end_s:
            return
        self._finish()
        self._end_s = at
        start, fade = self._index(at), round(FADE_S * self._rate_hz)
        self._drop_from(start + fade)
        for piece in self._pieces:
            if piece.end > start:
                gain = 1 - (np.arange(piece.start, piece.end) - start) / fade
                piece.samples = piece.samples * np.clip(gain, 0, 1).astype(np.float32)

    def read(self, start: int, count: int) -> Pcm | None:
        """Returns the `count` samples from index `start`, or None if nothing is played then.

        What was played before `start` is dropped.
        """
        end = start + count
        if self._resampler is not None and self._next < end:
            self._finish()
        while self._pieces and self._pieces[0].end <= start:
            self._pieces.popleft()
        if not self._pieces or self._pieces[0].start >= end:
            return None
        sound = np.zeros(count, np.float32)
        for piece in self._pieces:
            if piece.start >= end:
                break
            first, last = max(piece.start, start), min(piece.end, end)
            if first < last:
                sound[first - start : last - start] = piece.samples[first - piece.start : last - piece.start]
        return sound

    def _index(self, at: float) -> int:
        return round(at * self._rate_hz)

    def _append(self, samples: Pcm) -> None:
        if len(samples):
            self._pieces.append(_Piece(self._next, samples))
            self._next += len(samples)

    def _finish(self) -> None:
        """Ends the sound that is being resampled; the filter still holds its last 24 ms."""
        if self._resampler is not None:
            self._append(self._resampler.flush())
            self._resampler = None

    def _drop_from(self, index: int) -> None:
        """Drops the samples from `index` on."""
        while self._pieces and self._pieces[-1].start >= index:
            self._pieces.pop()
        if self._pieces and self._pieces[-1].end > index:
            last = self._pieces[-1]
            last.samples = last.samples[: index - last.start]
