"""A caller's loudspeaker, computed instead of played: which sound was audible when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm

FADE_S = 0.060
"""Length in seconds over which a caller fades out a reply that is paused or interrupted; the contract allows 100 ms."""
AUDIBLE = 0.00316
"""-50 dBFS: softer sound counts as silence."""
UNDERRUN_S = 0.001
"""Shorter gaps in seconds are rounding."""


@dataclass
class Piece:
    """Sound of a reply on its way through the loudspeaker.

    Attributes:
        turn: the reply's turn.
        position_s: where it begins in the reply's sound.
        start: when its first sample plays, in samples of the loop's clock.
        samples: the sound, shape (samples,), as it is heard.
    """

    turn: int
    position_s: float
    start: int
    samples: Pcm

    @property
    def end(self) -> int:
        """When it is over, in samples of the loop's clock."""
        return self.start + len(self.samples)


@dataclass(frozen=True)
class Underrun:
    """The loudspeaker ran dry inside a reply: from when on, in seconds of the loop's clock, and for how long."""

    at_s: float
    length_s: float


class Loudspeaker:
    """Plays sound as soon as it arrives, one piece after the other.

    Args:
        rate_hz: sample rate of the sound.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.pieces: list[Piece] = []
        self.underruns: list[Underrun] = []
        self._in_reply: int | None = None

    def add(self, turn: int, position_s: float, samples: Pcm, now_s: float) -> None:
        """Adds sound that arrived at `now_s`.

        The first sound of a reply, and the first after a cut, plays when what came before is over.  If any other sound
        arrives after the end of the sound before it, that is an underrun.
        """
        now = round(now_s * self.rate_hz)
        free = self.pieces[-1].end if self.pieces else now
        if self._in_reply == turn and (gap_s := (now - free) / self.rate_hz) > UNDERRUN_S:
            self.underruns.append(Underrun(free / self.rate_hz, gap_s))
        self._in_reply = turn
        self.pieces.append(Piece(turn, position_s, max(now, free), samples))

    def cut(self, now_s: float) -> None:
        """Fades out what plays at `now_s` and drops the rest."""
        now, fade = round(now_s * self.rate_hz), round(FADE_S * self.rate_hz)
        kept: list[Piece] = []
        for piece in self.pieces:
            if piece.end > now:
                samples = piece.samples[: max(0, now + fade - piece.start)]
                gain = 1 - (piece.start + np.arange(len(samples)) - now) / fade
                piece.samples = samples * np.clip(gain, 0, 1).astype(np.float32)
            if len(piece.samples):
                kept.append(piece)
        self.pieces = kept
        self._in_reply = None

    def render(self, start: int, count: int) -> Pcm:
        """Returns what was audible from `start` on, in samples of the loop's clock; shape (count,)."""
        sound = np.zeros(count, np.float32)
        for piece in reversed(self.pieces):
            if piece.end <= start:
                break
            first, last = max(piece.start, start), min(piece.end, start + count)
            if first < last:
                sound[first - start : last - start] = piece.samples[first - piece.start : last - piece.start]
        return sound

    def first_audible_s(self, turn: int | None = None, since_s: float = 0.0) -> float | None:
        """Returns when the first audible sample of a reply (None: of any) since `since_s` played; None: never."""
        times = self._audible(turn)
        later = times[times >= since_s]
        return float(later[0]) if len(later) else None

    def last_audible_s(self, turn: int | None = None) -> float | None:
        """Returns when the last audible sample of a reply (None: of any) played; None: never."""
        times = self._audible(turn)
        return float(times[-1]) if len(times) else None

    def _audible(self, turn: int | None) -> NDArray[np.float64]:
        times = [
            (piece.start + np.flatnonzero(np.abs(piece.samples) > AUDIBLE)) / self.rate_hz
            for piece in self.pieces
            if turn in (None, piece.turn)
        ]
        return np.concatenate([np.zeros(0), *times])
