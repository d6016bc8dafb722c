"""How far a turn's pitch falls at its end: speakers who have finished end low in their range."""

from __future__ import annotations

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.pitch import PitchTracker
from services.stt.endpoint.vad import WINDOW_SAMPLES
from services.stt.recognizer import SAMPLE_RATE_HZ

FRAME_SAMPLES = 2 * WINDOW_SAMPLES
"""64 ms: four periods of the lowest voice."""
LAST_FRAMES = 3
"""Voiced frames at the end that are compared with the turn: some 100 ms, the last vowel."""
MIN_FRAMES = 8
"""Voiced frames needed for a result, a quarter of a second."""


class PitchTrack:
    """Follows the pitch of one turn, window by window."""

    def __init__(self) -> None:
        self._tracker = PitchTracker(SAMPLE_RATE_HZ, FRAME_SAMPLES)
        self.begin()

    def begin(self) -> None:
        """Starts a new turn."""
        self._before: Pcm | None = None
        self._semitones: list[float] = []

    def push(self, window: Pcm) -> None:
        """Adds the next window of speech, shape (WINDOW_SAMPLES,)."""
        before, self._before = self._before, window
        if before is None:
            return
        f0_hz = float(self._tracker.track(np.concatenate((before, window))[None]).f0_hz[0])
        if f0_hz:
            self._semitones.append(12 * float(np.log2(f0_hz)))

    def fall(self) -> float | None:
        """Returns by how many semitones the end lies below the turn's median; None if too little was voiced."""
        if len(self._semitones) < MIN_FRAMES:
            return None
        return float(np.median(self._semitones) - np.median(self._semitones[-LAST_FRAMES:]))
