"""The front end: filter, gain and noise suppression."""

from __future__ import annotations

import numpy as np
import pytest

from services.stt.frontend.frontend import FrontEnd
from services.stt.frontend.suppression import NoiseSuppressor
from tests.support.speech import SAD, silence, speak

WINDOW = 512


def windows(sound):
    return [sound[start : start + WINDOW] for start in range(0, len(sound) - WINDOW + 1, WINDOW)]


def process(front, sound, pauses=(), speech=True):
    for window in pauses:
        front.add_noise(window)
        front.prime(window)
    front.begin(sorted(windows(sound), key=level_db)[len(sound) // 1024 :][:2])
    return np.concatenate([*(front.push(window, speech=speech) for window in windows(sound)), front.end()])


def tone(hz, seconds=1.0, level=0.2):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * 16_000)) / 16_000)).astype(np.float32)


def level_db(sound):
    return 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-12)


@pytest.mark.parametrize(("hz", "loss_db"), [(10, 20), (25, 10), (100, -0.5), (1_000, -0.5), (7_500, -0.5)])
def test_what_lies_below_the_voice_is_taken_out(hz, loss_db):
    sound = tone(hz, 2.0)
    heard = process(FrontEnd(), sound)
    loss = level_db(sound[16_000:]) - level_db(heard[16_000:])
    assert loss >= loss_db
    if loss_db < 0:
        assert abs(loss) < 0.5


def test_an_offset_is_taken_out():
    assert abs(process(FrontEnd(), np.full(32_000, 0.3, np.float32))[16_000:]).max() < 1e-3


@pytest.mark.parametrize("gain", [0.02])
def test_quiet_speech_is_brought_up(gain):
    quiet = process(FrontEnd(), gain * speak(SAD)[6_400:])
    assert abs(level_db(quiet) + 20) < 12


def test_speech_at_an_easy_level_stays_as_it_is():
    sound = speak(SAD)
    assert level_db(process(FrontEnd(), sound)) == pytest.approx(level_db(sound[: len(sound) // 512 * 512]), abs=0.3)


@pytest.mark.parametrize("chunks", [1, 7])
def test_as_much_sound_comes_out_as_went_in_and_at_its_place(chunks):
    suppressor, sound = NoiseSuppressor(), speak(SAD)
    pieces = np.array_split(sound, chunks * 10)
    clean = np.concatenate([*(suppressor.push(piece) for piece in pieces), suppressor.end()])
    assert len(clean) == len(sound)
    correlation = [np.dot(sound[8_000:24_000], clean[8_000 + lag : 24_000 + lag]) for lag in range(-80, 81)]
    assert abs(int(np.argmax(correlation)) - 80) <= 2


def test_white_noise_falls_by_20_db_and_speech_stays():
    noise = np.random.default_rng(1).normal(0, 0.02, 5 * 16_000).astype(np.float32)
    sound = speak(SAD)
    pauses, noisy = windows(noise[:32_000]), sound + noise[32_000 : 32_000 + len(sound)]
    heard = process(FrontEnd(NoiseSuppressor), noisy, pauses)
    assert level_db(heard[:1600]) < level_db(noise) - 20
    assert level_db(heard) == pytest.approx(level_db(sound), abs=8)


def test_clean_speech_passes_by_the_suppressor():
    class Never:
        def begin(self): ...

        def push(self, samples):
            raise AssertionError("clean sound was suppressed")

        def end(self):
            raise AssertionError("clean sound was suppressed")

    process(FrontEnd(Never), speak(SAD), pauses=windows(silence(1.0)))
