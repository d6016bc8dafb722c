"""Sound that is not clean speech: nothing stalls, nothing is lost, memory stays bounded."""

from __future__ import annotations

from functools import partial

import numpy as np
import psutil
import pytest

from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.events import Final, SpeechStarted, TurnEnded
from services.stt.engine.limits import TurnLimits
from tests.support.speech import LONELY, silence, speak, word_errors
from tests.support.stt_session import of

LIMITS = TurnLimits(0.2, EndSilence(0.3, 0.9, 1.5), max_turn_s=60.0)
THANKS = "thank you very much"


@pytest.fixture
def open_session(open_session):
    return partial(open_session, limits=LIMITS)


def music(seconds, rate_hz=16_000):
    """Returns a tune of three voices with overtones and a beat."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = np.zeros(len(time))
    draw = np.random.default_rng(3)
    for start in np.arange(0, seconds, 0.4):
        note = (time >= start) & (time < start + 0.4)
        for _ in range(3):
            hz = 220 * 2 ** (draw.integers(0, 24) / 12)
            for overtone in range(1, 6):
                sound[note] += np.sin(2 * np.pi * hz * overtone * time[note]) / overtone
        sound[note] += draw.normal(0, 1, int(note.sum())) * np.exp(-(time[note] - start) * 60)
    return (0.2 * sound / np.abs(sound).max()).astype(np.float32)


def assert_turns_are_whole(events):
    """Each turn has exactly one final transcript and one end."""
    turns = [event.turn for event in of(SpeechStarted, events)]
    assert [event.turn for event in of(Final, events)] == turns
    assert [event.turn for event in of(TurnEnded, events)] == turns


def assert_hears(session):
    """The session works."""
    events = session.push(np.concatenate((silence(0.5), speak(THANKS), silence(2.0)))) + session.finish()
    assert word_errors(of(Final, events)[-1].text, THANKS) <= 1


def test_music_makes_whole_turns_and_disturbs_no_later_session(open_session):
    session = open_session()
    events = session.push(np.concatenate((music(20.0), silence(2.0), speak(THANKS), silence(2.0)))) + session.finish()
    assert_turns_are_whole(events)
    assert word_errors(of(Final, events)[-1].text, THANKS) <= 1
    assert of(SpeechStarted, events)[-1].start_s == pytest.approx(22.25, abs=0.15)
    assert_hears(open_session())


def test_clipped_speech_is_heard(open_session):
    session = open_session()
    clipped = np.clip(4.0 * speak(LONELY), -1, 1).astype(np.float32)
    events = session.push(np.concatenate((silence(0.5), clipped, silence(2.0))))
    assert_turns_are_whole(events)
    assert len(of(Final, events)) == 1
    assert word_errors(of(Final, events)[0].text, LONELY) <= 2
    assert_hears(open_session())


def test_speech_clipped_beyond_recognition_is_one_complete_turn_and_disturbs_nobody(open_session):
    """The words cannot be recognized, only where somebody spoke."""
    session = open_session()
    clipped = np.clip(20.0 * speak(LONELY), -1, 1).astype(np.float32)
    events = session.push(np.concatenate((silence(0.5), clipped, silence(2.0))))
    assert_turns_are_whole(events)
    [started], [ended] = of(SpeechStarted, events), of(TurnEnded, events)
    assert started.start_s == pytest.approx(0.65, abs=0.2)
    assert ended.speech_end_s == pytest.approx(0.5 + len(clipped) / 16_000, abs=0.4)
    assert_hears(open_session())


def test_telephone_sound_in_noise_is_heard(open_session):
    sound = np.concatenate((silence(1.0, 8_000), speak(LONELY, 8_000, "rms"), silence(2.0, 8_000)))
    noise = np.random.default_rng(2).normal(0, 0.003, len(sound))
    session = open_session(8_000)
    events = session.push((sound + noise).astype(np.float32)) + session.finish()
    assert_turns_are_whole(events)
    assert word_errors(" ".join(final.text for final in of(Final, events)), LONELY) <= 6


def test_noise_without_speech_says_nothing(open_session):
    session = open_session()
    noise = np.random.default_rng(4).normal(0, 0.01, 30 * 16_000).astype(np.float32)
    assert of(Final, session.push(noise)) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hours_take_no_more_memory_than_ten_minutes(open_session):
    """A minute of speech and 119 of silence, as fast as possible."""
    session, process = open_session(), psutil.Process()
    minute = silence(60.0)
    talk = np.concatenate((silence(0.5), speak(THANKS), silence(2.0)))

    def resident():
        return process.memory_info().rss

    finals, early = 0, 0
    for index in range(120):
        finals += len(of(Final, session.push(talk if index % 6 == 0 else minute)))
        if index == 10:
            early = resident()
        if index % 6 == 0:
            session.push(minute)
    assert session.position_s > 7_200
    assert finals == 20
    assert resident() - early < 30 << 20
