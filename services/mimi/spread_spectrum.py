"""A watermark of low noise that follows speech, and its detector.

    MIMI_WATERMARK=services.mimi.spread_spectrum:SpreadSpectrum MIMI_WATERMARK_KEY=... python -m services.mimi
    MIMI_WATERMARK_KEY=... python -m services.mimi.detect_watermark speech.wav

Spread spectrum (Cox et al. 1997, "Secure spread spectrum watermarking for multimedia"): the key makes a sequence of +1
and -1; the mark is that sequence, shaped like the speech of the 40 ms before and `LEVEL_DB` below it at every
frequency, where the speech itself hides it.  The detector flattens the sound's spectrum, which turns the mark back into
the sequence, and correlates it with the sequence at every offset: with N samples at a level L below the sound, the peak
stands near L sqrt(N) standard deviations above what chance gives.  All shaping is by real, positive spectra, so it
delays nothing.

What a mark of this kind is for: an operator who finds a recording can say "this came from my server".  What it is not:
protection against somebody who wants it gone.

* It survives, given some 5 s of speech: another level, a cut at any place, 16-bit samples, resampling to 8 or 16 kHz
  and back, white noise 40 dB below the speech, and Opus at 24 kbit/s (tests/unit/mimi/test_spread_spectrum.py checks
  each).
* It does not survive: white noise 30 dB below the speech, which buries it where speech has little power; a change of
  speed, pitch or length, if only by one part in 1,000; a room's echo; a neural codec, Mimi included; somebody who has
  the key, who can take it out or forge it.

The sound to look at must have the rate of the sound that was marked.  Marking takes 0.2 ms of a CPU for a frame.
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
"""Level of the mark against the speech around it: below what noise of the speech's own spectrum is heard at."""
HOP_S = 0.020
"""Speech changes its spectrum about this fast; a window is two hops."""
PERIOD_HOPS = 128
"""Length of the sequence in hops, 2.56 s; it repeats."""
SMOOTH_HZ = 300.0
"""Width of the average over a spectrum's power: wider than a pitch, whose harmonics must not show, narrower than the
distance of formants."""
MIN_KEY_CHARS = 8
FALSE_ALARM = 1e-6
"""Chance at which sound without the mark passes for marked."""
CLIP = 3.0
"""Flattened sound is limited to so many times its mean magnitude: the pulses of a voice would outweigh the rest."""
MIN_DETECT_S = 1.0

Spectra = NDArray[np.floating]


class SpreadSpectrum:
    """The watermark; a factory in the sense of `services.mimi.watermark`.

    Args:
        sample_rate_hz: of the sound to mark.
        key: the operator's secret; who has it can detect, remove and forge the mark.

    Raises:
        InvalidInput: the key is too short to be one.
    """

    name = NAME

    def __init__(self, *, sample_rate_hz: int, key: str) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.hop = hop_samples(sample_rate_hz)
        sequence = key_sequence(key, sample_rate_hz)
        places = (self.hop * np.arange(PERIOD_HOPS)[:, None] + np.arange(2 * self.hop)) % len(sequence)
        self.chips = np.fft.rfft(sequence[places] * np.sqrt(_window(self.hop)))  # every window of the sequence

    def start(self) -> SpreadSpectrumStream:
        """Begins an utterance, and the sequence with it."""
        return SpreadSpectrumStream(self)


class SpreadSpectrumStream:
    """The mark of one utterance: sequence windows of two hops, each shaped by the two hops before it, overlapped."""

    def __init__(self, watermark: SpreadSpectrum) -> None:
        self._watermark = watermark
        hop = watermark.hop
        self._window = _window(hop)
        self._past = np.zeros(2 * hop)  # the newest input samples
        self._tail = np.zeros(hop)  # second half of the newest shaped window
        self._ready = np.zeros(0)  # the rest of the mark of the hop under way
        self._samples = 0

    def mark(self, samples: Pcm) -> Pcm:
        """The next samples (samples,) -> the same with the mark added, (samples,)."""
        hop = self._watermark.hop
        heard = np.concatenate((self._past, samples))
        start = self._samples + len(self._ready)  # where the first hop without a mark begins, a multiple of hop
        hops = max(0, -(-(self._samples + len(samples) - start) // hop))
        mark = self._ready
        if hops:
            # Window i of the speech ends where hop i begins; heard[0] is sample `self._samples - 2 hop`.
            windows = np.lib.stride_tricks.sliding_window_view(heard, 2 * hop)[len(self._ready) :: hop][:hops]
            shaped = self._shape(windows, start // hop)
            halves = shaped[:, :hop] + np.concatenate((self._tail[None], shaped[:-1, hop:]))
            self._tail = shaped[-1, hop:]
            mark = np.concatenate((mark, halves.ravel()))
        self._ready = mark[len(samples) :]
        self._past = heard[-2 * hop :]
        self._samples += len(samples)
        return (samples + mark[: len(samples)]).astype(np.float32)

    def _shape(self, windows: Spectra, first: int) -> Spectra:
        """Speech (hops, 2 hop) -> the sequence's windows from `first` on in its shape, but lower, (hops, 2 hop)."""
        watermark = self._watermark
        chips = watermark.chips[(first + np.arange(len(windows))) % PERIOD_HOPS]
        power = _smooth_power(np.fft.rfft(windows * self._window), watermark.sample_rate_hz)
        # The sequence has power 1 at every sample; a window of speech with spectrum X has |X|^2 / sum(window^2).
        gain = np.sqrt(power * (10 ** (LEVEL_DB / 10) / np.square(self._window).sum()))
        # A window's root before and after shaping makes one whole window, and no edge clicks.
        return np.fft.irfft(chips * gain, 2 * watermark.hop) * np.sqrt(self._window)


@dataclass(frozen=True)
class Detection:
    """What a detector found.

    Attributes:
        marked: whether chance alone would give such a peak less often than once in a million sounds.
        score: height of the peak, in standard deviations of chance.
        false_alarm: probability of a peak as high in sound without the mark, 0 to 1.
    """

    marked: bool
    score: float
    false_alarm: float


def detect(samples: Pcm, *, sample_rate_hz: int, key: str) -> Detection:
    """Looks for the mark of `key` in a piece of sound, wherever it was cut.

    Args:
        samples: (samples,), at least a second; some 5 s of speech decide.
        sample_rate_hz: of the sound, which must be that of the marked one.
        key: the operator's.

    Raises:
        InvalidInput: the sound is shorter than a second, or the key too short to be one.
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
    """The +1 and -1 of a key, (PERIOD_HOPS hops,), by SHAKE-256: without the key they look like chance.

    Raises:
        InvalidInput: the key is too short to be one.
    """
    if len(key) < MIN_KEY_CHARS:
        raise InvalidInput("watermark_key", f"{len(key)} characters", f"at least {MIN_KEY_CHARS} characters")
    length = PERIOD_HOPS * hop_samples(sample_rate_hz)
    octets = hashlib.shake_256(key.encode()).digest(-(-length // 8))
    bits = np.unpackbits(np.frombuffer(octets, np.uint8))[:length]
    return bits.astype(np.float64) * 2 - 1


def _flatten(samples: Spectra, rate: int) -> Spectra:
    """The sound with its own smoothed spectrum divided out window by window, its peaks limited, (samples,)."""
    hop = hop_samples(rate)
    window = _window(hop)
    padded = np.pad(samples, (hop, hop + -len(samples) % hop))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] * window
    spectra = np.fft.rfft(windows)
    power = _smooth_power(spectra, rate)
    loud = power > 1e-10 * power.max() if power.size else power  # digital silence has no spectrum to divide by
    flat = np.fft.irfft(np.where(loud, spectra / np.sqrt(np.where(loud, power, 1)), 0), 2 * hop)
    joined = np.zeros(len(padded))
    for half in (0, 1):
        joined[half * hop :][: len(flat) * hop] += flat[:, half * hop : (half + 1) * hop].ravel()
    joined = joined[hop : hop + len(samples)]
    limit = CLIP * np.abs(joined).mean()
    return np.clip(joined, -limit, limit)


def _smooth_power(spectra: NDArray[np.complexfloating], rate: int) -> Spectra:
    """|X|^2 averaged over SMOOTH_HZ around each frequency, (hops, bins) -> (hops, bins)."""
    low, high = _neighbours(spectra.shape[1], rate)
    total = np.zeros((len(spectra), spectra.shape[1] + 1))
    np.cumsum(np.square(spectra.real) + np.square(spectra.imag), axis=1, out=total[:, 1:])
    return np.maximum(total[:, high] - total[:, low], 0) / (high - low)


@cache
def _neighbours(bins: int, rate: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The bins that are averaged for each: from the first up to, without it, the second."""
    reach = max(1, round(SMOOTH_HZ * hop_samples(rate) / rate))  # a bin is rate / (2 hop) wide; half of SMOOTH_HZ
    at = np.arange(bins)
    return np.maximum(at - reach, 0), np.minimum(at + reach + 1, bins)


@cache
def _window(hop: int) -> Spectra:
    """A Hann window of two hops; shifted by a hop and added they are 1, (2 hop,)."""
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)
