"""Conceals short gaps in the reply's sound, as decoders conceal lost packets.

The method follows the idea of ITU-T G.711 Appendix I (1999): the last pitch period is repeated, and after 10 ms it is
attenuated until it is silent at 60 ms.  Here the output is not delayed, so the beginning of the repetition is matched
to the last sample by a decaying offset instead of an overlap.
"""

from __future__ import annotations

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.pitch import MAX_F0_HZ, MIN_F0_HZ, PitchTracker

HOLD_S = 0.010
"""Seconds of concealment at full level."""
MAX_CONCEALED_S = 0.060
"""Seconds of concealment; silence follows."""
JOIN_S = 0.005
"""Overlap in seconds of the concealment and the sound that follows it, and fade-in of sound after silence."""
_OFFSET_S = 0.002  # decay of the offset at the start
_HISTORY_S = 3 / MIN_F0_HZ  # what `PitchTracker` needs
_DECIMATION = 6  # 8 kHz for the search: its resolution of 1/8 ms is refined afterwards
_UNVOICED_S = 1 / MIN_F0_HZ  # a short period of noise, repeated, would hum


class Concealment:
    """Continues one stream of sound over gaps.

    Args:
        rate_hz: sample rate; a multiple of 6.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._history = np.zeros(round(_HISTORY_S * rate_hz), np.float32)
        self._tracker = PitchTracker(rate_hz // _DECIMATION, len(self._history) // _DECIMATION)
        self._period = np.zeros(0, np.float32)
        self._offset = 0.0
        self._made = 0  # samples since the gap began
        self._join = round(JOIN_S * rate_hz)
        self._fade_in = False

    @property
    def audible(self) -> bool:
        """Whether a gap is being concealed with sound."""
        return 0 < self._made < round(MAX_CONCEALED_S * self._rate_hz)

    def push(self, samples: Pcm) -> Pcm:
        """Takes the next samples that are there; returns them, joined to what was played before."""
        joined = samples
        if self._made or self._fade_in:
            length = min(self._join, len(samples))
            rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(1, length + 1) / (length + 1))).astype(np.float32)
            joined = samples.copy()
            joined[:length] *= rise
            if self._made:
                joined[:length] += (1 - rise) * self._repeat(length)
        self._made, self._fade_in = 0, False
        self._history = np.concatenate((self._history, joined))[-len(self._history) :]
        return joined

    def conceal(self, count: int) -> Pcm:
        """Returns `count` samples for a gap: the continuation of the sound before it, then silence."""
        if not self._made:
            self._begin()
        concealed = self._repeat(count)
        self._made += count
        return concealed

    def reset(self, *, fade_in: bool = False) -> None:
        """Forgets the sound, because silence follows; `fade_in`: the next sound may begin within a word."""
        self._history = np.zeros_like(self._history)
        self._made, self._fade_in = 0, fade_in or self._fade_in

    def _begin(self) -> None:
        length = self._find_period()
        period, before = self._history[-length:].copy(), self._history[-2 * length : -length]
        # The end of each repetition leads over to the beginning of the next.
        overlap = length // 4
        rise = np.linspace(0, 1, overlap, dtype=np.float32)
        period[-overlap:] = (1 - rise) * period[-overlap:] + rise * before[-overlap:]
        self._offset = float(self._history[-1] - before[-1])
        self._period = period

    def _find_period(self) -> int:
        """Returns the pitch period in samples; of sound without pitch, the longest."""
        coarse = self._history[: len(self._history) // _DECIMATION * _DECIMATION].reshape(-1, _DECIMATION).mean(axis=1)
        pitch = self._tracker.track(coarse[np.newaxis])
        if not pitch.voiced[0]:
            return round(_UNVOICED_S * self._rate_hz)
        middle = self._rate_hz / float(pitch.f0_hz[0])
        first = max(int(self._rate_hz / MAX_F0_HZ), round(middle) - _DECIMATION)
        lags = np.arange(first, round(middle) + _DECIMATION + 1)
        window = len(self._history) - int(lags[-1])
        recent = self._history[-window:]
        differences = [float(np.square(recent - self._history[-window - lag : -lag]).sum()) for lag in lags]
        return min(int(lags[int(np.argmin(differences))]), round(_UNVOICED_S * self._rate_hz))

    def _repeat(self, count: int) -> Pcm:
        """Returns the next samples of the repetition."""
        at = self._made + np.arange(count)
        seconds = at / self._rate_hz
        level = np.clip((MAX_CONCEALED_S - seconds) / (MAX_CONCEALED_S - HOLD_S), 0, 1)
        offset = self._offset * np.exp(-seconds / _OFFSET_S)
        return (level * (self._period[at % len(self._period)] + offset)).astype(np.float32)
