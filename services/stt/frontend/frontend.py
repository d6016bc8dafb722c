"""What is done to sound before it is decoded: its band is limited, noise is taken out, its level is evened.

The voice detector hears the sound as it came; only the decoder hears what comes out of here.
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
"""Below it there is hum, wind and the microphone's offset, but no voice.  The upper edge, 8 kHz, is that of 16 kHz
sound."""
RESPONSE_SAMPLES = 1024
"""Length of the high-pass filter's impulse response: after 64 ms a second-order Butterworth at 50 Hz has fallen by 120
dB."""
SPEECH_RMS = 0.1
"""-20 dBFS, the level of speech that speech models are made with."""
EASY_DB = 10.0
"""Speech within this distance of that level stays as it is: decoders even it out better themselves."""
MIN_GAIN, MAX_GAIN = 0.1, 30.0
ONSET_POWER = 0.25
"""Power of the first 64 ms of speech relative to what follows: 6 dB less."""
FULL_SCALE, CLIPPED_SHARE = 0.98, 0.02
"""A sample above this counts as clipped; no speech has so many of them, the loudest phones included."""
LEVEL_WINDOWS = 30
"""Windows of speech over which the level is averaged: about a second."""
NOISE_WINDOWS, NOISE_QUANTILE = 30, 0.25
"""Windows without speech from which the noise is known, and which of them: the end of a word may be among them."""
PRIMING_WINDOWS = 31
"""Windows before a phrase from which the suppressor learns the noise: about a second, which costs 0.15 s of work.  They
are only kept until then, so that a stream in which nobody speaks costs nothing."""
CLEAN_SNR_DB = 35.0
"""From here on there is no noise worth taking out: suppression costs words of clean speech, and time."""


class Suppressor(Protocol):
    """Takes noise out of stretches of one stream."""

    def begin(self) -> None:
        """Begins a stretch."""
        ...

    def push(self, samples: Pcm) -> Pcm:
        """Takes samples and returns those that are ready."""
        ...

    def end(self) -> Pcm:
        """Ends the stretch and returns its rest; all in all as many samples come out as went in."""
        ...


class FrontEnd:
    """Prepares one session's sound, phrase by phrase; as many samples come out as go in.

    Args:
        make_suppressor: makes the noise suppressor, at the first noise: most sessions need none; None: noise stays.
    """

    def __init__(self, make_suppressor: Callable[[], Suppressor] | None = None) -> None:
        self._make_suppressor = make_suppressor
        self._suppressor: Suppressor | None = None
        self._high_pass = _high_pass()
        self._history = np.zeros(RESPONSE_SAMPLES - 1)
        self._noise: deque[float] = deque(maxlen=NOISE_WINDOWS)  # power of windows without speech
        self._suppressing = False  # in this phrase
        self._before: deque[Pcm] = deque(maxlen=PRIMING_WINDOWS)  # what lies right before the next window
        self._unheard = 0  # samples from before the phrase that are still to come out of the suppressor
        self._power, self._windows, self._gain = 0.0, 0, 1.0

    def add_noise(self, window: Pcm) -> None:
        """Learns the noise from a window without speech."""
        self._noise.append(float(np.mean(np.square(window))))

    def prime(self, window: Pcm) -> None:
        """Keeps a window that lies before the phrases, so that the suppressor knows the noise when one begins."""
        self._before.append(window)

    def begin(self, onset: Sequence[Pcm] = ()) -> None:
        """Begins a phrase.

        Args:
            onset: its first windows of speech, which tell its level where no earlier phrase has.
        """
        suppressor = None if self._is_clean() else self._need_suppressor()
        self._suppressing = suppressor is not None
        self._start()
        if suppressor is not None:
            metrics.SUPPRESSED_PHRASES.inc()
            for window in self._before:
                self._unheard += len(window) - len(suppressor.push(self._limit_band(window)))
        self._before.clear()
        power = self._power or float(np.mean(np.square(onset)) if len(onset) else 0.0) / ONSET_POWER
        self._gain = 1.0
        if power > 0 and abs(10 * np.log10(power / SPEECH_RMS**2)) > EASY_DB:
            # An onset alone is no reason to turn speech down, it may be a knock, unless it is clipped all along.
            known = self._power > 0 or _is_clipped(onset)
            self._gain = min(max(SPEECH_RMS / power**0.5, MIN_GAIN if known else 1.0), MAX_GAIN)

    def push(self, window: Pcm, *, speech: bool) -> Pcm:
        """Takes the phrase's next window, shape (samples,), and whether it is speech; returns what is ready."""
        sound = self._limit_band(window)
        if self._suppressor is not None and self._suppressing:
            sound = self._without_priming(self._suppressor.push(sound))
        return self._even_level(sound, speech=speech)

    def end(self) -> Pcm:
        """Ends the phrase; returns its rest."""
        if self._suppressor is None or not self._suppressing:
            return np.zeros(0, np.float32)
        return self._even_level(self._without_priming(self._suppressor.end()), speech=False)

    def _is_clean(self) -> bool:
        """Whether speech is as much louder than the noise as `CLEAN_SNR_DB`; without any pause nobody knows."""
        if not self._noise:
            return False
        speech = self._power or SPEECH_RMS**2
        return float(np.quantile(self._noise, NOISE_QUANTILE)) * 10 ** (CLEAN_SNR_DB / 10) < speech

    def _need_suppressor(self) -> Suppressor | None:
        if self._suppressor is None and self._make_suppressor is not None:
            self._suppressor = self._make_suppressor()
        return self._suppressor

    def _start(self) -> None:
        self._history[:] = 0.0
        self._unheard = 0
        if self._suppressor is not None:
            self._suppressor.begin()

    def _without_priming(self, sound: Pcm) -> Pcm:
        skipped = min(self._unheard, len(sound))
        self._unheard -= skipped
        return sound[skipped:]

    def _limit_band(self, samples: Pcm) -> Pcm:
        sound = np.concatenate((self._history, samples))
        self._history = sound[-(RESPONSE_SAMPLES - 1) :]
        return np.convolve(sound, self._high_pass, "valid").astype(np.float32)

    def _even_level(self, sound: Pcm, *, speech: bool) -> Pcm:
        """Follows the level of speech; applies the phrase's gain, which stays the same all through it."""
        power = float(np.mean(np.square(sound))) if len(sound) else 0.0
        if speech and power > 0:
            self._windows = min(self._windows + 1, LEVEL_WINDOWS)
            self._power += (power - self._power) / self._windows
        return sound if self._gain == 1.0 else np.clip(sound * np.float32(self._gain), -1.0, 1.0)


def _is_clipped(windows: Sequence[Pcm]) -> bool:
    """Whether a good part of some sound, `CLIPPED_SHARE`, lies at full scale."""
    return len(windows) > 0 and float(np.mean(np.abs(np.concatenate(windows)) > FULL_SCALE)) > CLIPPED_SHARE


def _high_pass() -> NDArray[np.float64]:
    """Impulse response of a second-order Butterworth high-pass at `LOWEST_HZ`, shape (RESPONSE_SAMPLES,).

    By the bilinear transform: Oppenheim and Schafer, "Discrete-Time Signal Processing", section 7.2.
    """
    warped = np.tan(np.pi * LOWEST_HZ / SAMPLE_RATE_HZ)
    norm = 1 / (1 + np.sqrt(2) * warped + warped**2)
    poles = 2 * (warped**2 - 1) * norm, (1 - np.sqrt(2) * warped + warped**2) * norm
    response = np.zeros(RESPONSE_SAMPLES)
    response[:3] = norm, -2 * norm, norm
    for index in range(RESPONSE_SAMPLES):
        response[index] -= sum(pole * response[index - back] for back, pole in enumerate(poles, 1) if index - back >= 0)
    return response
