"""PyAV's audio frames to mono samples of one rate.

PyAV is imported when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oviya.audio.channels import Downmix
from oviya.audio.frames import FORMATS, planes
from oviya.audio.pcm import Pcm

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

MANY_PLANES = 8
"""PyAV converts to arrays only frames with fewer planes than this; others are packed first."""


class FrameDecoder:
    """Decodes frames to mono samples; format, channels and rate of the frames may change between them.

    Args:
        rate_hz: rate of the samples.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._downmix: Downmix | None = None
        self._resampler: AudioResampler | None = None
        self._source_hz = 0

    def push(self, frame: AudioFrame) -> Pcm:
        """Returns the samples of a frame, shape (samples,)."""
        parts: list[Pcm] = []
        if frame.sample_rate != self._source_hz:
            parts.append(self.flush())
            self._source_hz = frame.sample_rate
        plain = frame.format.name in FORMATS and not (
            frame.format.is_planar and frame.layout.nb_channels >= MANY_PLANES
        )
        if not plain:
            from av import AudioResampler

            frame = AudioResampler(format="dbl", layout=frame.layout, rate=frame.sample_rate).resample(frame)[0]
        samples = planes(frame)
        if self._downmix is None or self._downmix.channels != len(samples):
            self._downmix = Downmix(len(samples))
        parts.append(self._resample(np.clip(self._downmix.push(samples), -1.0, 1.0)))
        return np.concatenate(parts)

    def flush(self) -> Pcm:
        """Returns the rest of the resampler's output."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        frames, self._resampler = self._resampler.resample(None), None
        return _joined(frames)

    def _resample(self, samples: Pcm) -> Pcm:
        if self._source_hz == self._rate_hz or not len(samples):
            return samples
        from av import AudioFrame, AudioResampler

        if self._resampler is None:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
        frame = AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = self._source_hz
        return _joined(self._resampler.resample(frame))


def _joined(frames: list[AudioFrame]) -> Pcm:
    return np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0].astype(np.float32) for frame in frames)])
