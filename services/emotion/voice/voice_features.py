"""Acoustic features of an utterance: melody, loudness, pace and voice quality.

They are those on which studies of emotional speech agree (Juslin and Laukka 2003; Eyben et al. 2016, GeMAPS).  They say
little by themselves and much in comparison with the same speaker's usual values (`baseline`).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pitch import Pitch, PitchTracker, without_octave_errors

Floats = NDArray[np.float64]

RATE_HZ = 16_000
"""Sample rate of the input."""
MAX_S = 20.0
"""Longest sound in seconds that is measured; of a longer utterance it is the end, which the reply answers."""

_HOP = 160  # 10 ms
_FRAME = 400  # 25 ms
_PITCH_STEP = 2  # pitch is measured at 8 kHz
_PITCH_RATE_HZ, _PITCH_HOP = RATE_HZ // _PITCH_STEP, _HOP // _PITCH_STEP
_PITCH_TRACKER = PitchTracker(_PITCH_RATE_HZ, round(0.045 * _PITCH_RATE_HZ))  # three periods of the lowest voice
_ACTIVE_RANGE_DB = 25.0  # frames within this of the loudest are speech
_LOUDEST_SHARE = 0.05
_FLOOR_DB = -100.0
_MIN_LEVEL_DBFS = -60.0  # quieter sound counts as silence
_MIN_VOICED_S = 0.3
_MIN_VOICED_SHARE = 0.15  # of the active frames; in noise and clatter less is periodic
_PAUSE_S = 0.12  # shorter gaps are those of plosives
_NUCLEUS_DIP_DB = 2.0  # de Jong and Wempe (2009): a syllable's peak is 2 dB above the dips around it
_LOW_HZ, _MIDDLE_HZ, _HIGH_HZ = 50.0, 1000.0, 5000.0  # the alpha ratio of GeMAPS
_NUCLEUS_HZ = (300.0, 3000.0)
_REFERENCE_HZ = 100.0
_MIN_SYLLABLES = 4  # fewer do not give a pace


@dataclass(frozen=True, slots=True)
class VoiceFeatures:
    """The features of one utterance.  `data/voice-features.tsv` has the prior and spread of each.

    Attributes:
        f0_mean: median pitch in semitones above 100 Hz.
        f0_range: natural logarithm of the pitch's span (5th to 95th percentile) in semitones.
        f0_slope: trend of the pitch in semitones a second.
        level: level of the speech in dB relative to full scale.
        rate: natural logarithm of syllables a second, pauses left out.
        pauses: share of the time from first to last sound that is pause, 0 to 1.
        brightness: power of 1 to 5 kHz over 50 Hz to 1 kHz in dB; effort makes a voice brighter.
        clearness: periodic over other power of voiced frames in dB; a breathy or rough voice has less.
    """

    f0_mean: float
    f0_range: float
    f0_slope: float
    level: float
    rate: float
    pauses: float
    brightness: float
    clearness: float

    def values(self) -> Floats:
        """The features as an array, shape (features,), in the order of `NAMES`."""
        return np.array(astuple(self))


NAMES = tuple(field.name for field in fields(VoiceFeatures))


@dataclass(frozen=True, slots=True)
class Measured:
    """The features, and the amount of voiced sound in seconds that they are measured on."""

    features: VoiceFeatures
    voiced_s: float


def measure(samples: NDArray[np.float32], syllables: int = 0) -> Measured | None:
    """Measures an utterance.

    Args:
        samples: its sound at 16 kHz, shape (samples,), full scale 1.0; NaN and infinities count as silence.
        syllables: of its words; 0 if unknown.  Syllables are then counted in the sound, which is less accurate.

    Returns:
        The features; None if there is hardly any voice: silence, noise, a few clicks.
    """
    tail = samples[-round(MAX_S * RATE_HZ) :].astype(np.float64)
    sound = np.clip(np.where(np.isfinite(tail), tail, 0.0), -1.0, 1.0)
    count = (len(sound) - _FRAME) // _HOP + 1
    if count < 1:
        return None
    pieces = np.lib.stride_tricks.sliding_window_view(sound, _FRAME)[::_HOP][:count]
    levels = _decibels(np.mean(pieces * pieces, axis=1))
    loudest = np.sort(levels)[-max(1, round(_LOUDEST_SHARE * count)) :].mean()
    active = levels > max(loudest - _ACTIVE_RANGE_DB, _MIN_LEVEL_DBFS)
    if not active.any():
        return None
    pitch = _track_pitch(sound, active)
    voiced_s = float(pitch.voiced.sum()) * _HOP / RATE_HZ
    if voiced_s < _MIN_VOICED_S or pitch.voiced.sum() < _MIN_VOICED_SHARE * active.sum():
        return None
    first, last = np.flatnonzero(active)[[0, -1]]
    pauses = _pause_frames(active[first : last + 1])
    speaking_s = max((last + 1 - first - pauses) * _HOP / RATE_HZ, _MIN_VOICED_S)
    spectra = np.abs(np.fft.rfft(pieces[active] * np.hanning(_FRAME), 512)) ** 2
    f0_mean, f0_range, f0_slope = _melody(pitch)
    is_whole = len(samples) <= MAX_S * RATE_HZ
    if syllables < _MIN_SYLLABLES or not is_whole:
        syllables = _nuclei(_band_levels(pieces), pitch.voiced)
    features = VoiceFeatures(
        f0_mean=f0_mean,
        f0_range=f0_range,
        f0_slope=f0_slope,
        level=float(_decibels(np.mean(10 ** (levels[active] / 10)))),
        rate=float(np.log(max(syllables, 1) / speaking_s)),
        pauses=float(pauses / (last + 1 - first)),
        brightness=_brightness(spectra.mean(axis=0)),
        clearness=_clearness(pitch),
    )
    return Measured(features, voiced_s)


def _track_pitch(sound: Floats, active: NDArray[np.bool_]) -> Pitch:
    """Pitch of the active frames of `sound`, shape (samples,); the other frames are not voiced."""
    halved = sound[: len(sound) // _PITCH_STEP * _PITCH_STEP].reshape(-1, _PITCH_STEP).mean(axis=1)
    width = _PITCH_TRACKER.frame_samples
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(halved, (0, width)), width)
    at = np.flatnonzero(active)
    found = _PITCH_TRACKER.track(frames[at * _PITCH_HOP])
    f0_hz, periodicity = np.zeros(len(active)), np.zeros(len(active))
    f0_hz[at], periodicity[at] = without_octave_errors(found.f0_hz), found.periodicity
    return Pitch(f0_hz, periodicity)


def _decibels(power: Floats | np.floating) -> Floats:
    return 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))


def _melody(pitch: Pitch) -> tuple[float, float, float]:
    """Returns `f0_mean`, `f0_range` and `f0_slope`."""
    at = np.flatnonzero(pitch.voiced)
    semitones = 12 * np.log2(pitch.f0_hz[at] / _REFERENCE_HZ)
    low, median, high = np.percentile(semitones, [5, 50, 95])
    times = (at - at.mean()) * _HOP / RATE_HZ
    slope = float(times @ (semitones - semitones.mean()) / max(float(times @ times), 1e-9))
    return float(median), float(np.log(max(high - low, 0.1))), float(np.clip(slope, -20.0, 20.0))


def _pause_frames(active: NDArray[np.bool_]) -> int:
    """Counts the frames in gaps that are long enough to be pauses."""
    edges = np.flatnonzero(np.diff(np.concatenate(([1], active.astype(np.int8), [1]))))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths * _HOP / RATE_HZ >= _PAUSE_S].sum())


def _band_levels(pieces: Floats) -> Floats:
    """Returns the level of each frame in the band of vowels, smoothed over 50 ms, in dB."""
    spectra = np.abs(np.fft.rfft(pieces * np.hanning(_FRAME), 512)) ** 2
    hz = np.fft.rfftfreq(512, 1 / RATE_HZ)
    power = spectra[:, (hz >= _NUCLEUS_HZ[0]) & (hz <= _NUCLEUS_HZ[1])].sum(axis=1)
    smooth = np.convolve(power, np.hanning(7)[1:-1] / np.hanning(7).sum(), "same")
    return _decibels(smooth)


def _nuclei(levels: Floats, voiced: NDArray[np.bool_]) -> int:
    """Counts syllables: voiced peaks of the level that are `_NUCLEUS_DIP_DB` above the dips on both sides."""
    count, peak, dip, rising = 0, -np.inf, np.inf, True
    is_voiced = False
    for level, voice in zip(levels, voiced, strict=True):
        if rising:
            if level >= peak:
                peak, is_voiced = level, bool(voice)
            elif level < peak - _NUCLEUS_DIP_DB:
                count += is_voiced
                dip, rising = level, False
        elif level <= dip:
            dip = level
        elif level > dip + _NUCLEUS_DIP_DB:
            peak, is_voiced, rising = level, bool(voice), True
    return count + (is_voiced if rising and np.isfinite(peak) else 0)


def _brightness(spectrum: Floats) -> float:
    hz = np.fft.rfftfreq(512, 1 / RATE_HZ)
    high = spectrum[(hz > _MIDDLE_HZ) & (hz <= _HIGH_HZ)].sum()
    low = spectrum[(hz >= _LOW_HZ) & (hz <= _MIDDLE_HZ)].sum()
    return float(_decibels(high / max(float(low), 1e-12)))


def _clearness(pitch: Pitch) -> float:
    share = np.clip(pitch.periodicity[pitch.voiced], 0.0, 0.999)
    return float(np.median(10 * np.log10(share / (1 - share))))
