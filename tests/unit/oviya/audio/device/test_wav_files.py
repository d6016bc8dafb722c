"""WAV files in place of a sound card: what is heard, what is written, and at what pace."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from oviya.audio.device import open_device
from oviya.audio.wav import read_wav, write_wav
from oviya.errors import InvalidInput

RECORDING = np.linspace(-0.5, 0.5, 2000).astype(np.float32)  # 0.25 s at 8 kHz


async def heard(device, fill, blocks: int) -> np.ndarray:
    sound = []
    async with asyncio.timeout(30):
        with device.running(fill):
            async for block in device:
                sound.append(block)
                if len(sound) == blocks:
                    break
    return np.concatenate(sound)


async def test_a_recording_is_heard_at_its_pace_with_silence_after_it(tmp_path):
    write_wav(tmp_path / "in.wav", RECORDING, 8_000)
    device = open_device(f"file:{tmp_path / 'in.wav'},{tmp_path / 'out.wav'}")
    assert (device.input_rate_hz, device.output_rate_hz) == (8_000, 24_000)
    assert not device.recording_over
    begun = time.monotonic()
    sound = await heard(device, lambda size: np.full(size, 0.25, np.float32), 20)
    assert time.monotonic() - begun >= 0.2  # of 0.4 s, half of which a late start may make up for
    assert device.recording_over
    assert len(sound) == 20 * 160
    np.testing.assert_allclose(sound[:2000], RECORDING, atol=1e-4)
    assert not sound[2000:].any()
    played, rate_hz = read_wav(tmp_path / "out.wav")
    assert rate_hz == 24_000
    assert len(played) >= 20 * 480
    np.testing.assert_allclose(played, 0.25, atol=1e-4)


async def test_either_file_may_be_missing(tmp_path):
    write_wav(tmp_path / "in.wav", RECORDING, 8_000)
    silent = open_device(f"file:,{tmp_path / 'out.wav'}")
    assert silent.recording_over
    assert not (await heard(silent, lambda size: np.zeros(size, np.float32), 3)).any()
    assert (tmp_path / "out.wav").exists()
    assert (await heard(open_device(f"file:{tmp_path / 'in.wav'},"), lambda size: np.zeros(size, np.float32), 3)).any()


async def test_bad_files_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"IN\.WAV,OUT\.WAV"):
        open_device("file:in.wav")
    with pytest.raises(InvalidInput, match=r"nothing\.wav"):
        open_device(f"file:{tmp_path}/nothing.wav,")
    device = open_device(f"file:,{tmp_path}/no/out.wav")
    with pytest.raises(InvalidInput, match="must be writable"), device.running(lambda size: np.zeros(size, np.float32)):
        pass
