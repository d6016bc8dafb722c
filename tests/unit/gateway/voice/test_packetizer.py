"""Reply audio in the caller's format."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from oviya.audio.pcm import F32LE, decode_pcm
from oviya.v1 import common_pb2
from services.gateway.voice.packetizer import PACKET_S, Packetizer


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000, 48_000])
def test_packetizer_keeps_the_sound_whatever_the_chunks(rate_hz):
    times = np.arange(24_000) / 24_000
    sound = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    audio_format = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=rate_hz)
    wholes = []
    for step in (24_000, 1920, 77):
        packetizer = Packetizer(audio_format)
        pushed = [packetizer.push(sound[start : start + step]) for start in range(0, len(sound), step)]
        messages = list(itertools.chain(*pushed, packetizer.flush()))
        assert all(length_s <= PACKET_S + 1 / rate_hz for _, length_s in messages)
        samples = [decode_pcm(audio.pcm, F32LE) for audio, _ in messages]
        assert sum(length_s for _, length_s in messages) == pytest.approx(1.0, abs=0.001)
        wholes.append(np.concatenate(samples))
    assert np.allclose(wholes[0], wholes[1], atol=1e-6)
    assert np.allclose(wholes[0], wholes[2], atol=1e-6)
    middle = wholes[0][rate_hz // 4 : rate_hz * 3 // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)
