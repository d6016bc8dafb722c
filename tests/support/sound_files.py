"""Sound files that are made here by FFmpeg, and reading them back."""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import Any

import av
import numpy as np
import pytest

from oviya.audio.files import SoundFile, Source
from oviya.audio.pcm import Pcm

TONE_HZ, LENGTH_S = 440.0, 2.0
TONE = 0.4 * np.sin(2 * np.pi * TONE_HZ * np.arange(32_000) / 16_000)


@cache
def encoded(container: str, codec: str, rate_hz: int = 16_000, layout: str = "mono", video: bool = False) -> bytes:
    """A tone as a file."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        pictures: Any = None
        if video:
            pictures = out.add_stream("mpeg4", rate=10)
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        added = out.add_stream(codec, rate=rate_hz)
        stream: Any = added
        stream.layout = layout
        wave = 0.4 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(LENGTH_S * rate_hz)) / rate_hz)
        channels = av.AudioLayout(layout).nb_channels
        packed = np.repeat(wave.astype(np.float32), channels)[np.newaxis]
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz)
        whole = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        whole.sample_rate = rate_hz
        for frame in resampler.resample(whole):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for number in range(20 if video else 0):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8))
            picture.pts = number
            out.mux(pictures.encode(picture))
        if video:
            out.mux(pictures.encode(None))
    return file.getvalue()


def read_sound(source: Source, **how: Any) -> tuple[Pcm, int, list[str]]:
    """Samples, rate and problems of a whole file."""
    with SoundFile(source, **how) as sound:
        return sound.read(), sound.sample_rate_hz, sound.problems


def assert_tone(samples, rate_hz, *, length_s=LENGTH_S, level=0.4):
    assert samples.dtype == np.float32
    assert len(samples) / rate_hz == pytest.approx(length_s, abs=0.08)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate_hz / len(middle) == pytest.approx(TONE_HZ, abs=5)
    assert np.sqrt(np.mean(np.square(middle))) == pytest.approx(level / np.sqrt(2), rel=0.15)


def wav(channels: np.ndarray, rate_hz: int = 16_000) -> bytes:
    """A float WAV file of shape (channels, samples)."""
    width = 4 * len(channels)
    form = struct.pack("<HHIIHH", 3, len(channels), rate_hz, rate_hz * width, width, 32)
    body = channels.T.astype("<f4").tobytes()
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


class _Pipe:
    """What cannot be wound back, in pieces of any size."""

    def __init__(self, blob):
        self._file = io.BytesIO(blob)

    def read(self, size=-1):
        return self._file.read(min(size, 700) if size > 0 else size)

    def seekable(self):
        return False


def pipe(blob: bytes) -> Any:
    return _Pipe(blob)
