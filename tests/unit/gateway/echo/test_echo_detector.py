"""Whether a microphone holds an echo."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.echo.echo_detector import EchoDetector
from tests.support.echo_scenes import EchoPath, leveled, noise, reply
from tests.support.speech import LONELY, speak

RATE_HZ = 16_000
DECIDED_S = 0.8
SECONDS = 6


def removal(microphone, played, rate_hz=RATE_HZ):
    """Returns for each frame whether echo is removed from it."""
    return EchoDetector(rate_hz).removal(microphone, played) == 1


def after(seconds, frames):
    return frames[round(seconds * 100) :]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("path", [{}, {"gain_db": -26.0}, {"delay_s": 0.4, "gain_db": -20.0}, {"reverberation": 0.15}])
def test_an_echo_is_found_and_kept(path, rate_hz):
    played = reply(SECONDS, rate_hz)
    microphone = EchoPath(**path).echo(played, rate_hz) + noise(len(played))
    assert after(1.0, removal(microphone, played, rate_hz)).mean() > 0.95


@pytest.mark.parametrize("level_db", [-65.0, -50.0, -200.0])
def test_noise_is_no_echo(level_db):
    played = reply(SECONDS)
    assert not after(DECIDED_S, removal(noise(len(played), level_db), played)).any()


@pytest.mark.parametrize("level", [0.05, 0.003])
def test_a_voice_that_is_not_the_replys_is_no_echo(level):
    """It is the user's, or that of a television."""
    played = reply(SECONDS)
    voice = np.resize(leveled(speak(LONELY, RATE_HZ, "rms"), level), len(played)).astype(np.float32)
    assert not after(DECIDED_S, removal(voice + noise(len(played)), played)).any()


def test_an_echo_that_begins_or_ends_later_is_noticed():
    """The headset is unplugged at 3 s, and plugged in again at 6 s."""
    played = reply(11)
    echo = EchoPath(gain_db=-12.0).echo(played)
    echo[: 3 * RATE_HZ] = echo[6 * RATE_HZ :] = 0
    removed = removal(echo + noise(len(echo)), played)
    assert not removed[100:300].any()
    assert removed[400:600].mean() > 0.99
    assert not removed[1000:].any()


def test_the_frames_in_which_the_user_is_louder_are_kept():
    played = reply(SECONDS)
    words = leveled(speak(LONELY, RATE_HZ, "rms"))[:RATE_HZ]
    microphone = EchoPath(gain_db=-15.0).echo(played) + noise(len(played))
    microphone[3 * RATE_HZ : 4 * RATE_HZ] += words
    removed = removal(microphone, played)
    assert removed[100:300].all()
    loud = np.square(words.reshape(100, -1)).mean(1) > 0.05**2
    assert removed[300:400][loud].mean() < 0.1
    assert removed[450:].all()
