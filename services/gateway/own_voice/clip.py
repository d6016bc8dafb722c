"""A clip of speech in the voice to speak with, and the limits on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oviya.audio.pcm import Pcm, check_format, decode_pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput
from oviya.v1 import common_pb2
from services.gateway import metrics

CLIP_FIELD = "set_voice.clip"
"""Path of the clip in a ConverseRequest."""
AUDIO_FIELD = f"{CLIP_FIELD}.audio"
TEXT_FIELD = f"{CLIP_FIELD}.text"

MIN_CLIP_S, MAX_CLIP_S = 3.0, 30.0
MAX_CLIP_BYTES = 4 << 20
MAX_CLIP_TEXT_CHARS = 1000
ANALYSIS_RATE_HZ = 16_000
"""Sample rate at which clips are analysed."""


@dataclass(frozen=True)
class Clip:
    """The sound of a clip.

    Attributes:
        samples: shape (samples,), full scale 1.0.
        rate_hz: their sample rate, 8,000 to 48,000 Hz.
    """

    samples: Pcm
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz

    def part(self, start_s: float, end_s: float) -> Clip:
        """Returns the sound between two times."""
        start, end = (max(0, round(time * self.rate_hz)) for time in (start_s, end_s))
        return Clip(self.samples[start:end], self.rate_hz)

    def for_analysis(self) -> Pcm:
        """Returns the samples at `ANALYSIS_RATE_HZ`, shape (samples,)."""
        resampler = Resampler(self.rate_hz, ANALYSIS_RATE_HZ)
        return np.concatenate((resampler.push(self.samples), resampler.flush()))


def read_clip(audio: common_pb2.Audio) -> Clip:
    """Reads a clip from a message.

    Raises:
        InvalidInput: there is no sound, its format is not valid, or it has more than `MAX_CLIP_BYTES`.
    """
    if not audio.pcm:
        raise refused("empty", "", "must hold sound")
    audio_format = check_format(audio.format, f"{AUDIO_FIELD}.format")
    samples = decode_pcm(audio.pcm, audio_format.encoding, AUDIO_FIELD, max_bytes=MAX_CLIP_BYTES)
    return Clip(samples, audio_format.sample_rate_hz)


def refused(reason: str, found: str, limit: str, *, hint: str = "", field: str = AUDIO_FIELD) -> InvalidInput:
    """Counts a clip that cannot be used, and returns its error.

    Args:
        reason: one word, for the metric.
        found: what was found.
        limit: what the clip must be.
        hint: what to do.
    """
    metrics.CLIPS.labels(reason).inc()
    return InvalidInput(field, found, limit, hint=hint)
