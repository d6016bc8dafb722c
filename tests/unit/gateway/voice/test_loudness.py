"""Loudness: level, ceiling, shape, independence of chunking."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.voice.fallback import ACTIVE_LEVEL_DBOV, FallbackVoice
from services.gateway.voice.loudness import DEFAULT_CEILING, DEFAULT_GAIN, TARGET_DBOV, Loudness

RATE = 24_000
TEXT = "Hello there, how are you today? I hear that you feel sad, and I would like to know more about it. Tell me more."


def tone(seconds, dbov, hz=440.0):
    time = np.arange(round(seconds * RATE)) / RATE
    amplitude = 10 ** (dbov / 20) * np.sqrt(2)
    return np.asarray(amplitude * np.sin(2 * np.pi * hz * time), np.float32)


def noise(seconds, level=0.1, seed=7):
    return np.asarray(np.random.default_rng(seed).normal(0, level, round(seconds * RATE)), np.float32)


def dbov(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def applied(loudness, samples, energy_scale=1.0):
    return np.concatenate((loudness.process(samples, energy_scale), loudness.flush()))


@pytest.fixture(scope="module")
def speech():
    import asyncio

    async def speak():
        voice = FallbackVoice()
        pieces = [piece async for piece in voice.speak(TEXT)]
        await voice.close()
        return np.concatenate(pieces)

    return asyncio.run(speak())


def test_speech_reaches_the_target_times_the_gain_and_keeps_its_shape(speech):
    loudness = Loudness(RATE, expected_dbov=ACTIVE_LEVEL_DBOV)
    out = applied(loudness, speech)
    assert len(out) == len(speech)
    active = np.abs(speech) > 0.01
    expected = TARGET_DBOV + 20 * np.log10(DEFAULT_GAIN) + dbov(speech[active]) - loudness.level.dbov
    assert dbov(out[active]) == pytest.approx(expected, abs=1.5)  # the limiter takes little
    assert np.corrcoef(speech, out)[0, 1] > 0.99
    assert np.abs(out).max() <= DEFAULT_CEILING


@pytest.mark.parametrize("offset_db", [-18, -9, 6])
def test_any_source_level_ends_at_the_same_loudness(speech, offset_db):
    twice = np.tile(speech, 3)
    reference = applied(Loudness(RATE), twice)
    shifted = applied(Loudness(RATE), (twice * 10 ** (offset_db / 20)).astype(np.float32))
    last = len(speech) * 2  # the level has been learned
    assert dbov(shifted[last:]) == pytest.approx(dbov(reference[last:]), abs=1.0)


def test_what_is_known_makes_the_first_word_right(speech):
    quiet = (speech * 0.1).astype(np.float32)
    told = Loudness(RATE, expected_dbov=ACTIVE_LEVEL_DBOV - 20)
    first_s = round(0.5 * RATE)
    reference = applied(Loudness(RATE, expected_dbov=ACTIVE_LEVEL_DBOV), speech)[:first_s]
    assert dbov(applied(told, quiet)[:first_s]) == pytest.approx(dbov(reference), abs=0.5)


def test_the_plan_s_energy_is_kept(speech):
    loudness = Loudness(RATE, ceiling=1.0, gain=1.0)
    neutral = applied(loudness, np.tile(speech, 2))[len(speech) :]
    sad = applied(loudness, (speech * 0.6).astype(np.float32), energy_scale=0.6)
    assert dbov(sad) - dbov(neutral) == pytest.approx(20 * np.log10(0.6), abs=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_chunking_changes_nothing(speech, seed):
    whole = applied(Loudness(RATE), speech)
    generator = np.random.default_rng(seed)
    chunked, at, loudness = [], 0, Loudness(RATE)
    while at < len(speech):
        size = int(generator.choice([0, 1, 7, 119, 120, 121, 480, 1920, 5000]))
        chunked.append(loudness.process(speech[at : at + size]))
        at += size
    chunked.append(loudness.flush())
    assert np.array_equal(np.concatenate(chunked), whole)


@pytest.mark.parametrize(
    "signal",
    [
        noise(1.0, 0.5),
        tone(0.5, 0.0),
        np.sign(tone(0.5, 0.0, 100.0)),
        np.concatenate((np.zeros(5000, np.float32), np.ones(1, np.float32), np.zeros(5000, np.float32))),
        np.full(4000, 1e30, np.float32),
        np.array([1.0, -1.0] * 3000, np.float32) * 7,
    ],
    ids=["noise", "tone", "square", "click", "absurd", "nyquist"],
)
@pytest.mark.parametrize("ceiling", [DEFAULT_CEILING, 1.0, 0.25])
def test_nothing_exceeds_the_ceiling(signal, ceiling):
    out = applied(Loudness(RATE, gain=10.0, ceiling=ceiling), signal.astype(np.float32))
    assert len(out) == len(signal)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= ceiling


def test_a_limited_tone_stays_a_tone():
    loudness = Loudness(RATE, gain=10.0)
    out = applied(loudness, tone(2.0, -9.0, 200.0))[RATE:]  # 10 dB over the ceiling after gain
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    peak = int(np.argmax(spectrum))
    distortion = 1 - spectrum[peak - 4 : peak + 5].sum() / spectrum.sum()
    assert 10 * np.log10(distortion) < -45
    hard = np.clip(tone(2.0, -9.0, 200.0)[RATE:] * 10, -DEFAULT_CEILING, DEFAULT_CEILING)
    hard_spectrum = np.abs(np.fft.rfft(hard * np.hanning(len(hard)))) ** 2
    assert 10 * np.log10(1 - hard_spectrum[peak - 4 : peak + 5].sum() / hard_spectrum.sum()) > -15  # the test can fail


def test_quiet_sound_passes_the_limiter_untouched():
    quiet = tone(0.3, -40.0)
    loudness = Loudness(RATE, gain=1.0, expected_dbov=-40.0)
    out = applied(loudness, quiet)
    assert np.allclose(out, quiet * 10 ** (14 / 20), rtol=1e-3, atol=1e-5)


def test_the_delay_is_at_most_ten_milliseconds():
    loudness, taken, given = Loudness(RATE), 0, 0
    for piece in np.array_split(noise(1.0), 400):
        given += len(loudness.process(piece))
        taken += len(piece)
        assert taken - given <= 0.010 * RATE


def test_pauses_do_not_pump():
    burst = noise(0.5, 0.05)
    signal = np.concatenate((burst, noise(4.0, 0.0001), burst))
    loudness = Loudness(RATE, expected_dbov=dbov(burst))
    out = applied(loudness, signal)
    assert dbov(out[-len(burst) :]) == pytest.approx(dbov(out[: len(burst)]), abs=0.5)
    assert loudness.level.dbov == pytest.approx(dbov(burst), abs=0.5)


def test_faulty_samples_are_silence_and_are_counted(speech):
    faulty = speech.copy()
    faulty[1000], faulty[2000], faulty[3000] = np.nan, np.inf, -np.inf
    clean = speech.copy()
    clean[[1000, 2000, 3000]] = 0
    loudness = Loudness(RATE)
    assert np.array_equal(applied(loudness, faulty), applied(Loudness(RATE), clean))


def test_an_utterance_after_another_starts_cleanly(speech):
    loudness = Loudness(RATE)
    applied(loudness, np.ones(3001, np.float32))
    level = loudness.level.dbov
    out = applied(loudness, np.zeros(2400, np.float32))
    assert len(out) == 2400
    assert not out.any()
    assert loudness.level.dbov == level
    assert len(loudness.flush()) == 0


@pytest.mark.parametrize(("rate", "options"), [(0, {}), (RATE, {"gain": 0.0}), (RATE, {"ceiling": 1.5})])
def test_what_makes_no_sense_is_refused(rate, options):
    with pytest.raises(ValueError, match="out of range"):
        Loudness(rate, **options)


def test_other_rates_work_alike():
    for rate in (8_000, 16_000, 48_000):
        time = np.arange(rate) / rate
        signal = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
        assert len(applied(Loudness(rate), signal)) == len(signal)
