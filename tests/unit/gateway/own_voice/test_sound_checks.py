"""The checks of a clip's sound: each refusal names what was found, and speech passes."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.errors import InvalidInput
from services.gateway.own_voice.clip import MAX_CLIP_BYTES, Clip, read_clip
from services.gateway.own_voice.sound_checks import check_background, check_sound, clipped_share, levelled
from tests.support.metrics import metric
from tests.support.music import chords, melody
from tests.support.speech import speak

RATE_HZ = 16_000
TEXT = "My brother called, and he told me about the garden. We walked to the lake and back before it rained."
SPEECH = speak(TEXT, RATE_HZ)


def clip(samples, rate_hz=RATE_HZ):
    return Clip(np.asarray(samples, np.float32), rate_hz)


def noise(level, seconds=6.0):
    return level * np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ))


@pytest.mark.parametrize("voice", ["slt", "rms", "awb", "kal16"])
def test_speech_passes(voice):
    check_sound(clip(speak(TEXT, RATE_HZ, voice)))


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 48_000])
def test_speech_passes_at_any_rate(rate_hz):
    check_sound(clip(speak(TEXT, rate_hz), rate_hz))


@pytest.mark.parametrize(
    ("samples", "reason", "found"),
    [
        (SPEECH[: 2 * RATE_HZ], "length", "2.00 s"),
        (np.tile(SPEECH, 6)[: 31 * RATE_HZ], "length", "31.00 s"),
        (np.zeros(4 * RATE_HZ), "silence", "silence"),
        (noise(1e-5), "silence", "silence"),
        (0.01 * SPEECH, "quiet", "speech of -"),
        (np.clip(12 * SPEECH, -0.99, 0.99), "clipped", "clipped samples"),
        (chords(6, 1), "music", "music or tones"),
        (melody(6, 1), "music", "music or tones"),
        (SPEECH + 0.3 * chords(len(SPEECH) / RATE_HZ, 2)[: len(SPEECH)], "music", "music or tones"),
    ],
)
def test_what_is_no_usable_speech_is_refused_with_the_reason(samples, reason, found):
    before = metric("gateway_clips_total", outcome=reason)
    with pytest.raises(InvalidInput) as caught:
        check_sound(clip(samples))
    assert metric("gateway_clips_total", outcome=reason) == before + 1
    assert caught.value.field == "set_voice.clip.audio"
    assert found in caught.value.value
    assert caught.value.limit
    assert caught.value.hint


def test_noise_under_speech_is_refused_where_it_is_loud():
    spans = [(0.0, len(SPEECH) / RATE_HZ)]
    check_background(clip(SPEECH), spans)
    quiet = noise(0.0005, len(SPEECH) / RATE_HZ)[: len(SPEECH)]
    check_background(clip(SPEECH + quiet), spans)
    with pytest.raises(InvalidInput, match="noise"):
        check_background(clip(SPEECH + 200 * quiet), spans)


def test_only_flat_peaks_count_as_clipped():
    assert clipped_share(SPEECH) < 0.001
    assert clipped_share(np.clip(8 * SPEECH, -0.5, 0.5)) > 0.01
    assert clipped_share(np.sin(np.arange(16_000) / 20).astype(np.float32)) < 0.1
    assert clipped_share(np.zeros(0, np.float32)) == 0


def test_speech_is_brought_to_one_level():
    for gain in (0.05, 1.0):
        samples = levelled(clip(gain * SPEECH)).samples
        loud = np.abs(samples) > 0.01
        assert -30 < 20 * np.log10(np.sqrt(np.mean(samples[loud] ** 2))) < -20
        assert np.abs(samples).max() <= 1


def test_a_clip_is_read_within_its_limits(make_audio):
    assert read_clip(make_audio(SPEECH)).duration_s == pytest.approx(len(SPEECH) / RATE_HZ)
    for audio, field in (
        (make_audio(np.zeros(0, np.float32)), "set_voice.clip.audio"),
        (make_audio(SPEECH, rate_hz=96_000), "set_voice.clip.audio.format.sample_rate_hz"),
        (make_audio(np.zeros(MAX_CLIP_BYTES // 2 + 1, np.float32)), "set_voice.clip.audio"),
    ):
        with pytest.raises(InvalidInput) as caught:
            read_clip(audio)
        assert caught.value.field == field
