"""Clips as callers send them."""

from __future__ import annotations

import pytest

from oviya.audio.pcm import S16LE, audio_message
from oviya.v1 import common_pb2


@pytest.fixture
def make_audio():
    def make(samples, rate_hz=16_000):
        return audio_message(samples, common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=rate_hz))

    return make
