"""Rate, pitch and energy on a voice's signal."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.audio.resample import Resampler
from oviya.v1 import emotion_pb2
from services.emotion.voice.voice_features import measure
from services.gateway.voice.shaping import Shaper, shaped
from tests.support.speech import speak

RATE_HZ = 24_000
TEXT = "i went to the market this morning and bought some bread"


def plan(pitch: float = 1.0, rate: float = 1.0, energy: float = 1.0) -> emotion_pb2.ProsodyPlan:
    return emotion_pb2.ProsodyPlan(pitch_scale=pitch, rate_scale=rate, energy_scale=energy)


def shape(sound: np.ndarray, wanted: emotion_pb2.ProsodyPlan, chunk: int = 1920) -> np.ndarray:
    shaper = Shaper(RATE_HZ, wanted)
    parts = [shaper.push(sound[start : start + chunk]) for start in range(0, len(sound), chunk)]
    return np.concatenate([*parts, shaper.flush()])


def features(sound: np.ndarray):
    resampler = Resampler(RATE_HZ, 16_000)
    measured = measure(np.concatenate([resampler.push(sound), resampler.flush()]))
    assert measured is not None
    return measured.features


@pytest.mark.parametrize(
    ("pitch", "rate"), [(1.0, 0.8), (1.0, 1.12), (0.82, 1.0), (1.18, 1.0), (0.85, 0.85), (1.18, 1.12), (2.0, 0.5)]
)
@pytest.mark.parametrize("voice", ["slt", "awb"])
def test_pitch_and_rate_are_those_of_the_plan_and_the_voice_stays_clear(pitch, rate, voice):
    sound = speak(TEXT, RATE_HZ, voice) * np.float32(0.4)
    made = shape(sound, plan(pitch, rate))
    assert len(made) * rate / len(sound) == pytest.approx(1.0, abs=0.02)
    before, after = features(sound), features(made)
    if pitch <= 1.2:
        assert after.f0_mean - before.f0_mean == pytest.approx(12 * np.log2(pitch), abs=0.15)
        assert after.clearness > before.clearness - 1.5  # dB: neither rough nor hollow
        assert after.level == pytest.approx(before.level, abs=0.6)


def test_no_clicks():
    """A tone has no edges: what the joins add lies far below it."""
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = (0.5 * np.sin(2 * np.pi * 200 * times)).astype(np.float32)
    made = shape(tone, plan(0.9, 0.85))[4800:-4800]
    spectrum = np.abs(np.fft.rfft(made * np.blackman(len(made)))) ** 2
    hz = np.fft.rfftfreq(len(made), 1 / RATE_HZ)
    inside = np.abs(hz - 180) < 40
    assert 10 * np.log10(spectrum[inside].sum() / spectrum[~inside].sum()) > 40
    assert np.abs(np.diff(made)).max() < 1.2 * np.abs(np.diff(tone)).max()


def test_chunks_of_any_size_give_the_same_signal():
    sound = speak(TEXT, RATE_HZ)
    wanted = plan(1.08, 0.95, 0.9)
    np.testing.assert_array_equal(shape(sound, wanted, 1920), shape(sound, wanted, 777))


def test_a_neutral_plan_changes_nothing_and_energy_is_a_factor():
    sound = speak(TEXT, RATE_HZ)
    np.testing.assert_array_equal(shape(sound, plan()), sound)
    np.testing.assert_allclose(shape(sound, plan(energy=0.5)), 0.5 * sound)


@pytest.mark.parametrize("length", [0, 1, 100])
def test_next_to_nothing_stays_next_to_nothing(length):
    made = shape(np.zeros(length, np.float32), plan(0.85, 0.85))
    assert len(made) <= length / 0.85 + 2048


async def test_a_stream_is_shaped_and_closed():
    closed = []

    async def source():
        try:
            for _ in range(100):
                yield np.zeros(1920, np.float32)
        finally:
            closed.append(True)

    stream = shaped(source(), RATE_HZ, plan(0.9, 0.9))
    assert len(await anext(stream)) > 0
    await stream.aclose()
    assert closed
