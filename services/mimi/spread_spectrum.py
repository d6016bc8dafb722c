"""A spread-spectrum watermark for speech, and its detector.

    MIMI_WATERMARK=services.mimi.spread_spectrum:SpreadSpectrum MIMI_WATERMARK_KEY=... python -m services.mimi
    MIMI_WATERMARK_KEY=... python -m services.mimi.detect_watermark speech.wav

Spread spectrum (Cox et al. 1997, "Secure spread spectrum watermarking for multimedia"): the key generates a sequence of
+1 and -1.  The mark is that sequence, shaped by the spectrum of the preceding 40 ms of speech and `LEVEL_DB` below it
at every frequency, so that the speech masks it.  The detector flattens the sound's spectrum, which turns the mark back
into the sequence, and correlates it with the sequence at every offset.  With N samples at a level L relative to the
sound, the peak is about L sqrt(N) standard deviations above chance.  The shaping uses real, positive spectra, so it
adds no delay.

The mark lets an operator recognize recordings of their own server.  It does not resist deliberate removal.

* With some 5 s of speech it survives: a change of level, cutting, 16-bit samples, resampling to 8 or 16 kHz and back,
  white noise 40 dB below the speech, and Opus at 24 kbit/s (tested in tests/unit/mimi/test_spread_spectrum.py).
* It does not survive: white noise 30 dB below the speech, which covers it where speech has little power; a change of
  speed, pitch or length, even by one part in 1,000; a room's echo; a neural codec, Mimi included.  The key allows
  removing or forging it.

The sound to check must have the sample rate of the sound that was marked.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from oviya.errors import InvalidInput

NAME = "spread-spectrum"
LEVEL_DB = -32.0
"""Level of the mark relative to the speech around it, below the audibility of noise of the same spectrum."""
HOP_S = 0.020
"""About the time in which the spectrum of speech changes; a window is two hops."""
PERIOD_HOPS = 128
"""Length of the sequence in hops, 2.56 s, after which it repeats."""
SMOOTH_HZ = 300.0
"""Width of the average over a spectrum's power: wider than the distance of harmonics, narrower than that of
formants."""
MIN_KEY_CHARS = 8
FALSE_ALARM = 1e-6
"""Probability at which unmarked sound is detected as marked."""
CLIP = 3.0
"""Limit of the flattened sound as a multiple of its mean magnitude; the pulses of a voice would dominate otherwise."""
MIN_DETECT_S = 1.0

Spectra = NDArray[np.floating]


class SpreadSpectrum:
    """The watermark; a factory in the sense of `services.mimi.watermark`.

    Args:
        sample_rate_hz: of the sound to mark.
        key: the operator's secret, with which the mark can be detected, removed and forged.

    Raises:
        InvalidInput: the key is too short.
    """

    name = NAME

    def __init__(self, *, sample_rate_hz: int, key: str) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.hop = hop_samples(sample_rate_hz)
        sequence = key_sequence(key, sample_rate_hz)
        indices = (self.hop * np.arange(PERIOD_HOPS)[:, None] + np.arange(2 * self.hop)) % len(sequence)
        self.chips = np.fft.rfft(sequence[indices] * np.sqrt(_window(self.hop)))  # every window of the sequence

    def start(self) -> SpreadSpectrumStream:
        """Starts an utterance, at the start of the sequence."""
        return SpreadSpectrumStream(self)


class SpreadSpectrumStream:
    """Marks one utterance by overlapping windows of the sequence, each shaped by the two hops before it."""

    def __init__(self, watermark: SpreadSpectrum) -> None:
        self._watermark = watermark
        hop = watermark.hop
        self._window = _window(hop)
        self._past = np.zeros(2 * hop)  # the newest input samples
        self._tail = np.zeros(hop)  # second half of the newest shaped window
        self._ready = np.zeros(0)  # the rest of the current hop's mark
        self._samples = 0

    def mark(self, samples: Pcm) -> Pcm:
        """Adds the mark to the next samples, (samples,)."""
        hop = self._watermark.hop
        joined = np.concatenate((self._past, samples))
        start = self._samples + len(self._ready)  # where the first hop without a mark begins, a multiple of hop
        hops = max(0, -(-(self._samples + len(samples) - start) // hop))
        mark = self._ready
        if hops:
            # Window i of the speech ends where hop i begins; joined[0] is sample `self._samples - 2 hop`.
            windows = np.lib.stride_tricks.sliding_window_view(joined, 2 * hop)[len(self._ready) :: hop][:hops]
            shaped = self._shape(windows, start // hop)
            halves = shaped[:, :hop] + np.concatenate((self._tail[None], shaped[:-1, hop:]))
            self._tail = shaped[-1, hop:]
            mark = np.concatenate((mark, halves.ravel()))
        self._ready = mark[len(samples) :]
        self._past = joined[-2 * hop :]
        self._samples += len(samples)
        return (samples + mark[: len(samples)]).astype(np.float32)

    def _shape(self, windows: Spectra, first: int) -> Spectra:
        """Shapes the windows of the sequence from `first` on by those of speech, both (hops, 2 hop)."""
        watermark = self._watermark
        chips = watermark.chips[(first + np.arange(len(windows))) % PERIOD_HOPS]
        power = _smooth_power(np.fft.rfft(windows * self._window), watermark.sample_rate_hz)
        # The sequence has power 1 at every sample; a window of speech with spectrum X has |X|^2 / sum(window^2).
        gain = np.sqrt(power * (10 ** (LEVEL_DB / 10) / np.square(self._window).sum()))
        # The root of the window before and after shaping makes one window, without clicks at its edges.
        return np.fft.irfft(chips * gain, 2 * watermark.hop) * np.sqrt(self._window)


@dataclass(frozen=True)
class Detection:
    """The result of a detection.

    Attributes:
        marked: whether `false_alarm` is below `FALSE_ALARM`.
        score: height of the peak in standard deviations of unmarked sound.
        false_alarm: probability of such a peak in unmarked sound, 0 to 1.
    """

    marked: bool
    score: float
    false_alarm: float


def detect(samples: Pcm, *, sample_rate_hz: int, key: str) -> Detection:
    """Detects the mark of `key` in a sound, wherever it was cut.

    Args:
        samples: (samples,), at least a second; some 5 s of speech are needed for a reliable result.
        sample_rate_hz: of the sound, the same as when it was marked.
        key: the operator's.

    Raises:
        InvalidInput: the sound is shorter than a second, or the key is too short.
    """
    if len(samples) < MIN_DETECT_S * sample_rate_hz:
        raise InvalidInput("samples", f"{len(samples) / sample_rate_hz:.2f} s", f"at least {MIN_DETECT_S:g} s of sound")
    sequence = key_sequence(key, sample_rate_hz)
    flat = _flatten(samples.astype(np.float64), sample_rate_hz)
    energy = float(np.square(flat).sum())
    if not energy:
        return Detection(False, 0.0, 1.0)
    period = len(sequence)
    folded = np.bincount(np.arange(len(flat)) % period, weights=flat, minlength=period)
    spectrum = np.fft.rfft(folded) * np.conj(np.fft.rfft(sequence))
    score = float(np.fft.irfft(spectrum, period).max() / math.sqrt(energy))
    false_alarm = min(1.0, period * 0.5 * math.erfc(score / math.sqrt(2)))
    return Detection(false_alarm < FALSE_ALARM, score, false_alarm)


def hop_samples(sample_rate_hz: int) -> int:
    """Samples in a hop."""
    return round(HOP_S * sample_rate_hz)


def key_sequence(key: str, sample_rate_hz: int) -> NDArray[np.float64]:
    """Returns the sequence of a key, +1 and -1, (PERIOD_HOPS hops,), made by SHAKE-256.

    Raises:
        InvalidInput: the key is too short.
    """
    if len(key) < MIN_KEY_CHARS:
        raise InvalidInput("watermark_key", f"{len(key)} characters", f"at least {MIN_KEY_CHARS} characters")
    length = PERIOD_HOPS * hop_samples(sample_rate_hz)
    octets = hashlib.shake_256(key.encode()).digest(-(-length // 8))
    bits = np.unpackbits(np.frombuffer(octets, np.uint8))[:length]
    return bits.astype(np.float64) * 2 - 1


def _flatten(samples: Spectra, rate: int) -> Spectra:
    """Divides each window by its own smoothed spectrum and limits the peaks, (samples,)."""
    hop = hop_samples(rate)
    window = _window(hop)
    padded = np.pad(samples, (hop, hop + -len(samples) % hop))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] * window
    spectra = np.fft.rfft(windows)
    power = _smooth_power(spectra, rate)
    loud = power > 1e-10 * power.max() if power.size else power  # not digital silence
    flat = np.fft.irfft(np.where(loud, spectra / np.sqrt(np.where(loud, power, 1)), 0), 2 * hop)
    joined = np.zeros(len(padded))
    for half in (0, 1):
        joined[half * hop :][: len(flat) * hop] += flat[:, half * hop : (half + 1) * hop].ravel()
    joined = joined[hop : hop + len(samples)]
    limit = CLIP * np.abs(joined).mean()
    return np.clip(joined, -limit, limit)


def _smooth_power(spectra: NDArray[np.complexfloating], rate: int) -> Spectra:
    """Averages |X|^2 over SMOOTH_HZ around each frequency, (hops, bins)."""
    low, high = _neighbours(spectra.shape[1], rate)
    total = np.zeros((len(spectra), spectra.shape[1] + 1))
    np.cumsum(np.square(spectra.real) + np.square(spectra.imag), axis=1, out=total[:, 1:])
    return np.maximum(total[:, high] - total[:, low], 0) / (high - low)


@cache
def _neighbours(bins: int, rate: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns first and last (exclusive) of the bins that are averaged for each bin."""
    reach = max(1, round(SMOOTH_HZ * hop_samples(rate) / rate))  # a bin is rate / (2 hop) wide; half of SMOOTH_HZ
    at = np.arange(bins)
    return np.maximum(at - reach, 0), np.minimum(at + reach + 1, bins)


@cache
def _window(hop: int) -> Spectra:
    """A Hann window of two hops, (2 hop,); windows shifted by a hop add up to 1."""
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)
