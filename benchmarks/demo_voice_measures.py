"""Measures of speech: words, pitch, pace, level, similarity of voices, missing ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import parselmouth
import soxr
from numpy.typing import NDArray

from services.stt.decode.model_files import EMBEDDED
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.recognizer import SAMPLE_RATE_HZ, Request, to_seconds
from services.stt.settings import SttSettings
from tests.support.transcripts import normalized

Sound = NDArray[np.float32]

RATE_HZ = 24_000
ACTIVE_DB = 30.0
"""Frames within so many dB of the loudest one are speech."""


@cache
def _recognizer() -> WhisperRecognizer:
    """Returns the recognizer of this process, which is one of a pool, on one core."""
    recognizer = WhisperRecognizer(SttSettings(model=EMBEDDED, language="en", device="cpu", threads=1))
    recognizer.load()
    return recognizer


def recognize(sound: Sound) -> str:
    """Transcribes with Whisper tiny.en, as speech-to-text does; returns the text as `normalized` writes it."""
    samples = soxr.resample(np.pad(sound, RATE_HZ // 4), RATE_HZ, SAMPLE_RATE_HZ)
    request = Request(samples, speech_s=to_seconds(len(samples)), final=True)
    (transcript,) = _recognizer().transcribe([request])
    return normalized(" ".join(word.text for word in transcript.words))


@dataclass(frozen=True)
class Prosody:
    """Mean of log F0, spread of F0 in semitones, length of the speech in seconds, active level in dB."""

    log_f0: float
    f0_range: float
    length_s: float
    level_db: float


def prosody(sound: Sound) -> Prosody:
    """Measures one utterance; F0 by Praat's autocorrelation."""
    speech = parselmouth.Sound(sound.astype(np.float64), RATE_HZ)
    f0 = speech.to_pitch_ac(time_step=0.01, pitch_floor=60, pitch_ceiling=400).selected_array["frequency"]
    voiced = np.log(f0[f0 > 0]) if (f0 > 0).any() else np.zeros(1)
    level, active = _active(sound)
    start, stop = np.flatnonzero(active)[[0, -1]]
    # The middle four fifths, in semitones: octave errors lie outside.
    low, high = np.quantile(voiced, (0.1, 0.9))
    inner = voiced[(voiced >= low) & (voiced <= high)]
    return Prosody(float(inner.mean()), float(high - low) * 12 / np.log(2), (stop - start + 1) * 0.01, level)


def _active(sound: Sound) -> tuple[float, NDArray[np.bool_]]:
    """Returns the mean level of active frames of 10 ms in dB, and a mask of these frames."""
    frames = sound[: len(sound) // 240 * 240].reshape(-1, 240)
    power = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
    active = power > power.max() - ACTIVE_DB
    return float(10 * np.log10(np.mean(10 ** (power[active] / 10)))), active


def mfcc(sound: Sound) -> NDArray[np.float64]:
    """Mel-frequency cepstral coefficients, (frames of 10 ms, 13), the first is the level."""
    speech = parselmouth.Sound(sound.astype(np.float64), RATE_HZ)
    return np.asarray(speech.to_mfcc(number_of_coefficients=12, window_length=0.025, time_step=0.01).to_array()).T


def identity(sound: Sound) -> NDArray[np.float64]:
    """The features that distinguish voices: log F0 in semitones and the mean of MFCC 1 to 12 where there is speech,
    (13,)."""
    coefficients = mfcc(sound)
    loud = coefficients[:, 0] > np.quantile(coefficients[:, 0], 0.3)
    return np.concatenate(([prosody(sound).log_f0 * 12 / np.log(2)], coefficients[loud, 1:].mean(axis=0)))


class Speakers:
    """The nearest of several voices.

    Args:
        samples: utterances of each voice.
    """

    def __init__(self, samples: Mapping[str, Sequence[Sound]]) -> None:
        features = {name: np.stack([identity(sound) for sound in sounds]) for name, sounds in samples.items()}
        self._names = list(features)
        self._means = np.stack([each.mean(axis=0) for each in features.values()])
        within = np.concatenate([each - each.mean(axis=0) for each in features.values()])
        self._spread = within.std(axis=0) + 1e-6

    def nearest(self, sound: Sound) -> str:
        """The voice whose mean is nearest, each feature scaled by its deviation within a voice."""
        distances = (((self._means - identity(sound)) / self._spread) ** 2).sum(axis=1)
        return self._names[int(distances.argmin())]


TAIL_S = 0.25
TAIL_FACTOR = 2.0
"""Ratio of the distance of the last quarter of a second to that of the whole, from which on the end is missing."""


def lacks_end(made: Sound, model: Sound) -> bool:
    """Whether `made` lacks the end of `model`: aligns the two by dynamic time warping of their MFCCs."""
    ours, theirs = (_normed(mfcc(_trimmed(sound))) for sound in (made, model))
    cost = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    total = np.full((len(ours) + 1, len(theirs) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(ours)):
        for j in range(len(theirs)):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i, j, path = len(ours) - 1, len(theirs) - 1, []
    while i >= 0 and j >= 0:
        path.append((j, cost[i, j]))
        steps = (total[i, j], total[i, j + 1], total[i + 1, j])
        best = int(np.argmin(steps))
        i, j = i - (best != 2), j - (best != 1)
    places, costs = (np.array(values) for values in zip(*path, strict=True))
    tail = places >= len(theirs) - round(TAIL_S / 0.01)
    return bool(costs[tail].mean() > TAIL_FACTOR * costs.mean())


def _normed(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    return (coefficients - coefficients.mean(axis=0)) / (coefficients.std(axis=0) + 1e-6)


def _trimmed(sound: Sound) -> Sound:
    places = np.flatnonzero(_active(sound)[1])
    return sound[places[0] * 240 : (places[-1] + 1) * 240]
