"""Decides when a caller's microphone holds an echo that matters."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm


class _Echo(Enum):
    UNKNOWN = auto()
    ABSENT = auto()
    PRESENT = auto()


FRAMES_PER_S = 100
"""WebRTC processes frames of 10 ms, and so does this."""
REFERENCE_FRAMES, MICROPHONE_FRAMES, LONGEST_LAG_FRAMES = 100, 40, 50
"""The last 0.4 s of the microphone are compared with the last 1 s of the reference, at lags up to 0.5 s, which is also
WebRTC's limit."""
TAPER_FRAMES = 3
"""The microphone's sound is faded in and out: the edges of the two sounds would look like an echo without delay."""
BAND_HZ, CORRELATION_HZ = (300, 3400), 8000
"""Telephone speech, which microphones and loudspeakers of all kinds pass on."""
ACTIVE_DB, ACTIVE_FRAMES = -45.0, 20
"""A frame of the reference is sound above -45 dBFS.  Less than 0.2 s of it says nothing."""
QUIET_DB = 38.0
"""A microphone that stays this far below the reply holds no echo."""
SURE_PEAK, REPEATED_PEAK, KEPT_PEAK = 16.0, 9.0, 5.0
"""Peak of the cross-correlation relative to its usual size.  Without echo it is 4 to 8, seldom more than 10.  An echo
10 dB below the reply makes 10 to 70."""
SAME_LAG_S, NEAR_LAG_S = 0.001, 0.01
"""Peaks of two checks at the same lag are an echo, and smaller ones near the lag of a known echo show that it is still
there."""
ABSENT_FRAMES, GONE_FRAMES = 20, 240
"""Frames of the reply without a sign of echo until it counts as absent at the beginning of a session, and as gone."""
CHECK_FRAMES = {_Echo.UNKNOWN: 10, _Echo.ABSENT: 20, _Echo.PRESENT: 60}

DECAY_DB = 1.5
"""Fall of the expected echo per frame: a reverberation time of 0.4 s."""
COUPLING_FRAMES, COUPLING_QUANTILE = 300, 0.7
"""The echo's level relative to the loudest frame of the reference near its lag, a quantile of 3 s.  A lower one is less
affected by the user's words, and a higher one varies less with the reply's."""
LOUDER_DB = 6.0
"""The user speaks if the microphone exceeds the expected echo by this much for two frames, and for some more
(`HOLD_FRAMES`).  The echo alone varies by about 3 dB."""
USER_DB = -55.0
HOLD_FRAMES = 5


class EchoDetector:
    """Says for each frame whether its echo should be removed.

    An echo is found by its waveform: the phase-only cross-correlation of reference and microphone (GCC-PHAT) has a peak
    at its lag.  Other people's speech and noise have none, however loud.  Until about 0.5 s of the first reply
    have been heard, an echo is assumed: otherwise each caller with a loudspeaker would interrupt the reply, whereas
    few people speak so soon.  Where there is an echo, it is not removed while the microphone is much
    louder than it could be, because the user speaks and suppression would take their words too.

    Args:
        rate_hz: rate of the sound, 8,000 to 48,000.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._echo = _Echo.UNKNOWN
        frame = np.zeros(rate_hz // FRAMES_PER_S, np.float32)
        self._reference = deque([frame] * REFERENCE_FRAMES, REFERENCE_FRAMES)
        self._microphone = deque([frame] * MICROPHONE_FRAMES, MICROPHONE_FRAMES)
        edge = np.linspace(0, 1, rate_hz // FRAMES_PER_S * TAPER_FRAMES, dtype=np.float32)
        middle = np.ones(MICROPHONE_FRAMES * len(frame) - 2 * len(edge), np.float32)
        self._taper = np.concatenate((edge, middle, edge[::-1]))
        self._reference_db = deque([-100.0] * REFERENCE_FRAMES, REFERENCE_FRAMES)
        self._microphone_db = deque([-100.0] * MICROPHONE_FRAMES, MICROPHONE_FRAMES)
        self._frames = 0  # since the last check
        self._unseen = 0  # frames of active reference without a sign of echo
        self._lag = self._last_lag = self._last_peak = 0.0  # seconds: that of the echo, and that of the last check
        self._couplings: deque[float] = deque(maxlen=COUPLING_FRAMES)
        self._coupling_db = 0.0
        self._expected_db = -100.0
        self._hold = 0

    def removal(self, microphone: Pcm, reference: Pcm) -> NDArray[np.float32]:
        """Returns for each frame whether echo should be removed from it, 0 or 1; shape (frames,).

        Args:
            microphone: whole frames, shape (samples,).
            reference: what was played meanwhile, shape (samples,).
        """
        shape = (-1, self._rate_hz // FRAMES_PER_S)
        frames = zip(microphone.reshape(shape), reference.reshape(shape), strict=True)
        return np.array([self._next(*pair) for pair in frames], np.float32)

    def _next(self, microphone: Pcm, reference: Pcm) -> bool:
        self._microphone.append(microphone)
        self._reference.append(reference)
        self._microphone_db.append(_decibels(microphone))
        self._reference_db.append(_decibels(reference))
        self._frames += 1
        if self._frames >= CHECK_FRAMES[self._echo]:
            self._frames = 0
            self._check()
        if self._echo is _Echo.PRESENT:
            return not self._user_speaks()
        return self._echo is _Echo.UNKNOWN

    def _user_speaks(self) -> bool:
        """Follows the expected echo, and returns whether the microphone is much louder."""
        lag, levels = round(self._lag * FRAMES_PER_S), list(self._reference_db)
        around = levels[-lag - 4 : len(levels) - max(0, lag - 2)]
        heard, played = self._microphone_db[-1], max(around)
        self._expected_db = max(self._expected_db - DECAY_DB, played)
        if played > ACTIVE_DB and played == self._expected_db:
            self._couplings.append(heard - played)
            if len(self._couplings) < CHECK_FRAMES[_Echo.PRESENT]:  # reverberation still builds up
                self._coupling_db = float(np.quantile(self._couplings, COUPLING_QUANTILE))
        if min(heard, self._microphone_db[-2]) > max(USER_DB, self._expected_db + self._coupling_db + LOUDER_DB):
            self._hold = HOLD_FRAMES
        self._hold = max(0, self._hold - 1)
        return self._hold > 0

    def _check(self) -> None:
        """Looks for an echo in what was heard last."""
        if sum(level > ACTIVE_DB for level in self._reference_db) < ACTIVE_FRAMES:
            return
        peak, lag = self._correlate()
        again = abs(lag - self._last_lag) <= SAME_LAG_S and min(peak, self._last_peak) > REPEATED_PEAK
        if peak > SURE_PEAK or again:
            if self._echo is not _Echo.PRESENT or abs(lag - self._lag) > NEAR_LAG_S:
                self._echo, self._lag = _Echo.PRESENT, lag
                self._measure_coupling()
            self._unseen = 0
        elif self._echo is _Echo.PRESENT and abs(lag - self._lag) <= NEAR_LAG_S and peak > KEPT_PEAK:
            self._unseen = 0
        elif self._hold == 0 and peak < REPEATED_PEAK:
            self._unseen += CHECK_FRAMES[self._echo]
            if self._unseen >= (GONE_FRAMES if self._echo is _Echo.PRESENT else ABSENT_FRAMES):
                self._echo = _Echo.ABSENT
        self._last_lag, self._last_peak = lag, peak
        if self._couplings:
            self._coupling_db = float(np.quantile(self._couplings, COUPLING_QUANTILE))

    def _measure_coupling(self) -> None:
        """Begins with the frames in which the echo was found."""
        self._couplings.clear()
        played = np.array(self._reference_db)
        begin = len(played) - MICROPHONE_FRAMES - round(self._lag * FRAMES_PER_S)
        for heard, level in zip(self._microphone_db, played[begin:], strict=False):
            if level > ACTIVE_DB:
                self._couplings.append(heard - level)

    def _correlate(self) -> tuple[float, float]:
        """Returns the peak of the cross-correlation, relative to its usual size, and its lag in seconds."""
        if max(self._microphone_db) < max(self._reference_db) - QUIET_DB:
            return 0.0, 0.0
        reference = np.concatenate(self._reference)
        microphone = np.zeros_like(reference)
        recent = np.concatenate(self._microphone)
        microphone[-len(recent) :] = recent * self._taper
        low, high = BAND_HZ  # of a spectrum of 1 s, which has a bin for each hertz
        cross = np.fft.rfft(microphone)[low:high] * np.conj(np.fft.rfft(reference)[low:high])
        spectrum = np.zeros(CORRELATION_HZ // 2 + 1, np.complex64)
        spectrum[low:high] = cross / (np.abs(cross) + 1e-9)
        lags = np.abs(np.fft.irfft(spectrum)[: CORRELATION_HZ // 2])
        at = int(np.argmax(lags))
        usual = float(np.median(lags)) / 0.6745  # standard deviation of a normal distribution
        return float(lags[at]) / max(usual, 1e-9), at / CORRELATION_HZ


def _decibels(frame: Pcm) -> float:
    return 10 * math.log10(float(np.dot(frame, frame)) / len(frame) + 1e-10)
