"""The reply's sound that waits to be played, with markers and positions; it knows no time but the frames taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from prometheus_client import Counter

from oviya.audio.pcm import Pcm
from services.gateway.transport.webrtc.concealment import Concealment

RATE_HZ = 48_000
"""Sample rate of Opus."""
FRAME_S = 0.020
"""Length of an RTP packet in seconds."""
FRAME_SAMPLES = round(FRAME_S * RATE_HZ)
PREBUFFER_S = 0.060
"""Seconds of sound with which a reply starts; the first piece, one RVQ frame of 80 ms, is longer."""
REBUFFER_S = 0.100
"""Seconds by which more sound is needed after each gap of a reply, at most `MAX_REBUFFER_S`: where sound is made hardly
faster than it is played, one longer gap is better than many."""
MAX_REBUFFER_S = 0.360
FADE_S = 0.040
"""Length in seconds of the fade-out of a reply that is cut."""
REPORT_S = 0.200
"""Interval in seconds between reports of what has been played."""

UNDERRUNS = Counter("oviya_gateway_playout_underruns_total", "Gaps inside a reply because its next sound was late")
UNDERRUN_SECONDS = Counter("oviya_gateway_playout_underrun_seconds_total", "Length of those gaps in seconds")

Marker = Callable[[], None]


@dataclass(frozen=True)
class Piece:
    """Sound of a reply.

    Args:
        samples: shape (samples,), 48 kHz.
        turn: the reply's turn.
        start: position in the reply's sound at which it begins, in samples.
        cut: whether the reply was cut at its end.
    """

    samples: Pcm
    turn: int
    start: int
    cut: bool = False


class PlayoutQueue:
    """Sound and markers in the order in which they are played.

    Args:
        on_played: called with a turn and a position in seconds: every `REPORT_S` while its sound is played, and when
            there is no more to play.
    """

    def __init__(self, on_played: Callable[[int, float], object]) -> None:
        self._on_played = on_played
        self._items: deque[Piece | Marker] = deque()
        self._queued = 0  # samples
        self._concealment = Concealment(RATE_HZ)
        self._playing = False
        self._complete = True  # no sound of the reply is missing when the queue is empty
        self._waited = 0  # frames for which sound has waited to be played
        self._needed_s = PREBUFFER_S  # sound with which to start
        self._fading = 0  # samples of a fade-out that are queued
        self._after_fade: list[Marker] = []
        self._dry = 0  # samples for which sound of the reply was missing
        self._played: tuple[int, int] | None = None  # turn and position in samples
        self._reported: tuple[int, int] | None = None
        self._since_report = 0  # frames

    @property
    def queued_s(self) -> float:
        """Seconds of sound in the queue."""
        return self._queued / RATE_HZ

    @property
    def idle(self) -> bool:
        """Whether there is nothing to play and no marker to call."""
        return not self._items and not self._concealment.audible

    def put(self, piece: Piece) -> None:
        """Adds sound."""
        if self._dry and self._played and piece.turn == self._played[0]:
            UNDERRUNS.inc()
            UNDERRUN_SECONDS.inc(self._dry / RATE_HZ)
            self._needed_s = min(self._needed_s + REBUFFER_S, MAX_REBUFFER_S)
        self._dry = 0
        self._items.append(piece)
        self._queued += len(piece.samples)
        self._complete = False

    def mark(self, callback: Marker) -> None:
        """Calls `callback` when what is queued so far has been played and the next sound begins, or `end_reply` is
        called; never, if that is cut."""
        self._items.append(callback)
        self._complete = False

    def end_reply(self) -> None:
        """Marks the reply as complete: nothing is missing when the queue is empty."""
        self._complete = True
        self._dry = 0
        self._needed_s = PREBUFFER_S

    def fade_out(self) -> None:
        """Cuts the reply: what would be played now fades out, the rest is dropped with all markers."""
        if self._fading:  # of two cuts in a row, the second drops only what came between them
            self._items = deque([self._items[0]])
            self._queued = self._fading
        else:
            fade = self._take(round(FADE_S * RATE_HZ)) if self._playing else []
            self._items.clear()
            self._queued = 0
            if fade:
                samples = np.concatenate([piece.samples for piece in fade])
                fall = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, len(samples) + 1) / len(samples))
                self._items.append(Piece(samples * fall.astype(np.float32), fade[0].turn, fade[0].start, cut=True))
                self._queued = self._fading = len(samples)
            elif not self._concealment.audible:  # else it decays by itself
                self._concealment.reset(fade_in=True)
        self._waited = 0
        self.end_reply()

    def after_fade(self, callback: Marker) -> None:
        """Calls `callback` when a reply that was cut has faded out; at once if none is fading."""
        if self._fading:
            self._after_fade.append(callback)
        else:
            callback()

    def clear(self) -> None:
        """Drops everything."""
        self._items.clear()
        self._after_fade.clear()
        self._queued = self._fading = self._waited = 0
        self._playing = False
        self.end_reply()

    def next_samples(self) -> Pcm | None:
        """Removes the next 20 ms, shape (960,), and calls the markers in them; None: there is nothing to play."""
        if not self._playing and self._items:
            self._waited += 1 if self._queued else 0
            waited_s = (self._waited - 1) * FRAME_S
            self._playing = self._complete or max(self.queued_s, waited_s) >= self._needed_s
        taken = self._take(FRAME_SAMPLES, call=True) if self._playing else []
        played: list[Pcm] = []
        for piece in taken:
            played.append(self._concealment.push(piece.samples))
            self._played = piece.turn, piece.start + len(piece.samples)
            if piece.cut:
                self._concealment.reset(fade_in=True)
        missing = FRAME_SAMPLES - sum(map(len, played))
        if missing:
            played += self._run_dry(missing)
        self._report(ended=missing > 0)
        if not self._fading and self._after_fade:
            callbacks, self._after_fade = self._after_fade, []
            for callback in callbacks:
                callback()
        return np.concatenate([*played, np.zeros(missing, np.float32)])[:FRAME_SAMPLES] if played else None

    def _run_dry(self, missing: int) -> list[Pcm]:
        """Returns the concealment of `missing` samples, if any."""
        if self._complete and not self._concealment.audible:
            if self._playing:
                self._concealment.reset()
            self._playing, self._waited = False, 0
            return []
        if not self._complete and not self._queued:
            self._dry += missing
        if not self._playing:
            return []
        concealed = self._concealment.conceal(missing)
        if not self._concealment.audible:
            self._playing, self._waited = False, 0
        return [concealed]

    def _take(self, count: int, *, call: bool = False) -> list[Piece]:
        """Removes up to `count` samples; `call`: calls the markers before and between them."""
        taken: list[Piece] = []
        while self._items:
            item = self._items[0]
            if not (count if isinstance(item, Piece) else self._queued or self._complete):
                break  # a marker waits for the sound after it
            self._items.popleft()
            if not isinstance(item, Piece):
                if call:
                    item()
                continue
            now, rest = item.samples[:count], item.samples[count:]
            if len(rest):
                self._items.appendleft(Piece(rest, item.turn, item.start + len(now), item.cut))
            taken.append(Piece(now, item.turn, item.start, item.cut and not len(rest)))
            count -= len(now)
            self._queued -= len(now)
            self._fading = max(0, self._fading - len(now))
        return taken

    def _report(self, *, ended: bool) -> None:
        """Reports the position if it is time; `ended`: nothing is left to play."""
        self._since_report += 1
        if self._played is None or self._played == self._reported:
            return
        if ended or self._reported is None or self._since_report * FRAME_S >= REPORT_S:
            self._reported, self._since_report = self._played, 0
            turn, position = self._played
            # Whole milliseconds below it: a position that rounding puts beyond what was sent would be refused.
            self._on_played(turn, (position - 1) * 1000 // RATE_HZ / 1000)
