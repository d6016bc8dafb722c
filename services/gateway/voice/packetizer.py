"""Packets of reply audio in the format that the caller asked for."""

from __future__ import annotations

from collections.abc import Iterator

from oviya.audio.pcm import Pcm, audio_message
from oviya.audio.resample import Resampler
from oviya.v1 import common_pb2

VOICE_RATE_HZ = 24_000
"""Rate of both voices: Mimi's own, and what the fallback voice is resampled to."""
PACKET_S = 0.080
"""Longest sound in one message, in seconds: one RVQ frame, so that stopping a reply wastes little."""


class Packetizer:
    """Turns a sentence's sound, 24 kHz, into messages.

    Args:
        audio_format: what the caller asked for.
    """

    def __init__(self, audio_format: common_pb2.AudioFormat) -> None:
        self._format = audio_format
        self._resampler = Resampler(VOICE_RATE_HZ, audio_format.sample_rate_hz)
        self._packet_samples = round(PACKET_S * audio_format.sample_rate_hz)

    def push(self, samples: Pcm) -> Iterator[tuple[common_pb2.Audio, float]]:
        """Takes samples, shape (samples,); yields messages, each with its length in seconds."""
        return self._pack(self._resampler.push(samples))

    def flush(self) -> Iterator[tuple[common_pb2.Audio, float]]:
        """Ends a sentence: yields what the resampler still holds."""
        return self._pack(self._resampler.flush())

    def _pack(self, samples: Pcm) -> Iterator[tuple[common_pb2.Audio, float]]:
        for start in range(0, len(samples), self._packet_samples):
            packet = samples[start : start + self._packet_samples]
            yield audio_message(packet, self._format), len(packet) / self._format.sample_rate_hz
