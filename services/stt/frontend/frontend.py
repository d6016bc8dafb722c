"""Prepares sound for the recognizer: high-pass filter, noise suppression and gain.

The voice detector gets the sound without these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from services.stt import metrics
from services.stt.recognizer import SAMPLE_RATE_HZ

LOWEST_HZ = 50.0
"""Below it there is hum, wind and DC offset, but no voice."""
RESPONSE_SAMPLES = 1024
"""Length of the high-pass filter's impulse response: after 64 ms a second-order Butterworth at 50 Hz has decayed by 120
dB."""
SPEECH_RMS = 0.1
"""Target level: -20 dBFS, usual in the training data of speech models."""
EASY_DB = 10.0
"""Speech within this distance of the target level is not changed: decoders normalize it better themselves."""
MIN_GAIN, MAX_GAIN = 0.1, 30.0
ONSET_POWER = 0.25
"""Power of the first 64 ms of speech relative to what follows: 6 dB less."""
FULL_SCALE, CLIPPED_SHARE = 0.98, 0.02
"""A sample above the first is clipped; sound with a larger share of clipped samples than the second is too loud."""
LEVEL_WINDOWS = 30
"""Windows of speech over which the level is averaged: about a second."""
NOISE_WINDOWS, NOISE_QUANTILE = 30, 0.25
"""Windows without speech from which the noise level is estimated, and the quantile that is used, because they may
include the end of a word."""
PRIMING_WINDOWS = 31
"""Windows before a phrase, about a second, to which the suppressor adapts.  They are processed only when a phrase
begins, so a stream in which nobody speaks costs nothing."""
CLEAN_SNR_DB = 35.0
"""From this signal-to-noise ratio on nothing is suppressed: suppression costs words of clean speech, and time."""


class Suppressor(Protocol):
    """Suppresses noise in one stream, phrase by phrase."""

    def begin(self) -> None:
        """Begins a phrase."""
        ...

    def push(self, samples: Pcm) -> Pcm:
        """Adds samples and returns those that are ready."""
        ...

    def end(self) -> Pcm:
        """Ends the phrase and returns its remaining samples; in total as many as were pushed."""
        ...


class FrontEnd:
    """Prepares the sound of one session, phrase by phrase; as many samples come out as go in.

    Args:
        make_suppressor: makes the noise suppressor when noise is first found; None: no noise suppression.
    """

    def __init__(self, make_suppressor: Callable[[], Suppressor] | None = None) -> None:
        self._make_suppressor = make_suppressor
        self._suppressor: Suppressor | None = None
        self._high_pass = _high_pass()
        self._history = np.zeros(RESPONSE_SAMPLES - 1)
        self._noise: deque[float] = deque(maxlen=NOISE_WINDOWS)  # power of windows without speech
        self._active: Suppressor | None = None  # in this phrase
        self._before: deque[Pcm] = deque(maxlen=PRIMING_WINDOWS)  # the windows before the next one
        self._priming_left = 0  # samples from before the phrase that are still in the suppressor
        self._power, self._windows, self._gain = 0.0, 0, 1.0

    def add_noise(self, window: Pcm) -> None:
        """Adds a window without speech to the estimate of the noise level."""
        self._noise.append(float(np.mean(np.square(window))))

    def prime(self, window: Pcm) -> None:
        """Keeps a window that belongs to no phrase; the suppressor adapts to it when the next phrase begins."""
        self._before.append(window)

    def begin(self, onset: Sequence[Pcm] = ()) -> None:
        """Begins a phrase.

        Args:
            onset: its first windows of speech, from which its level is estimated if there was no phrase before.
        """
        clean = self._is_clean()
        if not clean and self._suppressor is None and self._make_suppressor is not None:
            self._suppressor = self._make_suppressor()
        self._history[:] = 0.0
        self._priming_left = 0
        if self._suppressor is not None:
            self._suppressor.begin()
        self._active = None if clean else self._suppressor
        if self._active is not None:
            metrics.SUPPRESSED_PHRASES.inc()
            for window in self._before:
                self._priming_left += len(window) - len(self._active.push(self._limit_band(window)))
        self._before.clear()
        power = self._power or float(np.mean(np.square(onset)) if len(onset) else 0.0) / ONSET_POWER
        self._gain = 1.0
        if power > 0 and abs(10 * np.log10(power / SPEECH_RMS**2)) > EASY_DB:
            # An onset alone, which may be a knock, does not lower the gain unless it is clipped.
            known = self._power > 0 or _is_clipped(onset)
            self._gain = min(max(SPEECH_RMS / power**0.5, MIN_GAIN if known else 1.0), MAX_GAIN)

    def push(self, window: Pcm, *, speech: bool) -> Pcm:
        """Adds the next window of the phrase, shape (samples,), and whether it is speech; returns what is ready."""
        sound = self._limit_band(window)
        if self._active is not None:
            sound = self._without_priming(self._active.push(sound))
        return self._apply_gain(sound, speech=speech)

    def end(self) -> Pcm:
        """Ends the phrase; returns its remaining samples."""
        if self._active is None:
            return np.zeros(0, np.float32)
        return self._apply_gain(self._without_priming(self._active.end()), speech=False)

    def _is_clean(self) -> bool:
        """Whether the signal-to-noise ratio is above `CLEAN_SNR_DB`; False if there was no pause yet."""
        if not self._noise:
            return False
        speech = self._power or SPEECH_RMS**2
        return float(np.quantile(self._noise, NOISE_QUANTILE)) * 10 ** (CLEAN_SNR_DB / 10) < speech

    def _without_priming(self, sound: Pcm) -> Pcm:
        skipped = min(self._priming_left, len(sound))
        self._priming_left -= skipped
        return sound[skipped:]

    def _limit_band(self, samples: Pcm) -> Pcm:
        sound = np.concatenate((self._history, samples))
        self._history = sound[-(RESPONSE_SAMPLES - 1) :]
        return np.convolve(sound, self._high_pass, "valid").astype(np.float32)

    def _apply_gain(self, sound: Pcm, *, speech: bool) -> Pcm:
        """Updates the level of speech and applies the gain, which is constant within a phrase."""
        power = float(np.mean(np.square(sound))) if len(sound) else 0.0
        if speech and power > 0:
            self._windows = min(self._windows + 1, LEVEL_WINDOWS)
            self._power += (power - self._power) / self._windows
        return sound if self._gain == 1.0 else np.clip(sound * np.float32(self._gain), -1.0, 1.0)


def _is_clipped(windows: Sequence[Pcm]) -> bool:
    """Whether more than `CLIPPED_SHARE` of the samples are at full scale."""
    return len(windows) > 0 and float(np.mean(np.abs(np.concatenate(windows)) > FULL_SCALE)) > CLIPPED_SHARE


def _high_pass() -> NDArray[np.float64]:
    """Returns the impulse response of a second-order Butterworth high-pass at `LOWEST_HZ`, shape (RESPONSE_SAMPLES,).

    Designed with the bilinear transform: Oppenheim and Schafer, "Discrete-Time Signal Processing", section 7.2.
    """
    warped = np.tan(np.pi * LOWEST_HZ / SAMPLE_RATE_HZ)
    norm = 1 / (1 + np.sqrt(2) * warped + warped**2)
    poles = 2 * (warped**2 - 1) * norm, (1 - np.sqrt(2) * warped + warped**2) * norm
    response = np.zeros(RESPONSE_SAMPLES)
    response[:3] = norm, -2 * norm, norm
    for index in range(RESPONSE_SAMPLES):
        response[index] -= sum(pole * response[index - back] for back, pole in enumerate(poles, 1) if index - back >= 0)
    return response
