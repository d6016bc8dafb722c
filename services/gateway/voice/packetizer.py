"""Packets of reply audio in the format that the caller asked for."""

from __future__ import annotations

from collections.abc import Iterator

from oviya.audio.pcm import Pcm, audio_message
from oviya.audio.resample import Resampler
from oviya.v1 import common_pb2
from services.gateway.voice.segment import VOICE_RATE_HZ

PACKET_S = 0.080
"""Longest sound in one message, in seconds: one RVQ frame, so that stopping a reply wastes little."""


class Packetizer:
    """Cuts the sound of a sentence into messages."""

    def __init__(self, audio_format: common_pb2.AudioFormat) -> None:
        self._format = audio_format
        self._resampler = Resampler(VOICE_RATE_HZ, audio_format.sample_rate_hz)
        self._packet_samples = round(PACKET_S * audio_format.sample_rate_hz)

    def push(self, samples: Pcm) -> Iterator[tuple[common_pb2.Audio, float]]:
        """Takes samples at `VOICE_RATE_HZ`, shape (samples,), and yields messages, each with its length in seconds."""
        return self._pack(self._resampler.push(samples))

    def flush(self) -> Iterator[tuple[common_pb2.Audio, float]]:
        """Ends the sentence and yields the samples that the resampler still holds."""
        return self._pack(self._resampler.flush())

    def _pack(self, samples: Pcm) -> Iterator[tuple[common_pb2.Audio, float]]:
        for start in range(0, len(samples), self._packet_samples):
            packet = samples[start : start + self._packet_samples]
            yield audio_message(packet, self._format), len(packet) / self._format.sample_rate_hz
