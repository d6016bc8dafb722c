"""Sessions with the real voice detector and Whisper, on synthetic speech."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from services.stt.engine.events import EndReason, Final, SpeechStarted, TurnEnded
from tests.support.speech import LONELY, silence, speak, word_errors
from tests.support.stt_session import WINDOW_S, HeldDecodes, join, of, push_all


@pytest.mark.parametrize(
    ("rate_hz", "voice"),
    [
        (8_000, "rms"),
        (8_000, "kal16"),
        (12_000, "rms"),
        (16_000, "slt"),
        (24_000, "slt"),
        (44_100, "slt"),
        (48_000, "slt"),
    ],
)
def test_a_sentence_is_understood_at_every_rate(open_session, rate_hz, voice):
    sound = join(silence(0.5, rate_hz), speak(LONELY, rate_hz, voice), silence(1.0, rate_hz))
    session = open_session(rate_hz)
    events = push_all(session, sound, rate_hz // 50)
    final, ended = events[-2:]
    assert isinstance(final, Final)
    assert word_errors(final.text, LONELY) == 0
    assert isinstance(ended, TurnEnded)
    assert ended.reason is EndReason.SILENCE
    assert session.finish() == []


def test_events_tell_when_and_where(open_session):
    lead, speech = silence(0.5), speak(LONELY)
    events = push_all(open_session(), join(lead, speech, silence(1.0)))
    started, final, ended = of(SpeechStarted, events)[0], of(Final, events)[0], of(TurnEnded, events)[0]
    loud = np.flatnonzero(np.abs(speech) > 0.02)
    first_sound_s, last_sound_s = 0.5 + loud[0] / 16_000, 0.5 + loud[-1] / 16_000

    assert started.start_s == pytest.approx(first_sound_s, abs=0.15)
    assert started.at_s - started.start_s <= 0.1
    assert ended.speech_end_s == pytest.approx(last_sound_s, abs=0.15)
    assert 0.6 <= ended.at_s - ended.speech_end_s <= 0.6 + 2 * WINDOW_S
    assert final.at_s == ended.at_s
    assert {event.turn for event in events} == {0}
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)

    assert [word.text for word in final.words] == LONELY.split()
    assert final.text == final.text.strip()
    assert final.language == "en"
    for word, following in itertools.pairwise(final.words):
        assert word.start_s < word.end_s <= following.start_s
    assert final.words[0].start_s >= started.start_s - 0.15
    assert final.words[-1].end_s <= ended.speech_end_s + 0.15
    assert all(0.0 <= word.confidence <= 1.0 for word in final.words)
    # "lonely" has the only long vowel near the end: its times must match its sound.
    lonely = next(word for word in final.words if word.text == "lonely")
    assert lonely.end_s == pytest.approx(last_sound_s, abs=0.15)
    assert lonely.end_s - lonely.start_s > 0.3


def test_any_chunking_gives_the_same_events(open_session):
    sound = join(silence(0.3), speak(LONELY, 24_000), silence(1.0, 24_000))
    at_once = push_all(open_session(24_000), sound, len(sound))
    in_bits = push_all(open_session(24_000), sound, 479)
    assert at_once == in_bits


def test_a_session_leaves_nothing_behind_for_the_next(open_session):
    sound = join(silence(0.3), speak(LONELY), silence(1.0))
    alone = open_session().push(sound)
    other = open_session()
    other.push(0.2 * speak("my mother called me this morning", voice="kal16"))  # breaks off within a phrase
    assert open_session().push(sound) == alone


def test_two_turns_in_one_stream(open_session):
    second = "thank you very much for your help"
    events = push_all(open_session(), join(silence(0.3), speak(LONELY), silence(1.5), speak(second), silence(1.0)))
    finals = of(Final, events)
    assert [final.turn for final in finals] == [0, 1]
    assert word_errors(finals[0].text, LONELY) == 0
    assert word_errors(finals[1].text, second) == 0
    assert finals[1].words[0].start_s > of(TurnEnded, events)[0].at_s
    assert [event.turn for event in of(SpeechStarted, events)] == [0, 1]


def test_silence_for_ten_minutes_says_nothing(open_session):
    session = open_session()
    minute = silence(60.0)
    assert [event for _ in range(10) for event in session.push(minute)] == []
    assert session.finish() == []
    assert session.position_s == pytest.approx(600.0, abs=WINDOW_S)


def test_a_turn_waits_for_its_last_decode_and_loses_nothing(open_session, open_waiting_session, recognizer):
    sound = join(silence(0.3), speak(LONELY), silence(1.0))
    decodes = HeldDecodes()
    session = open_waiting_session(decodes)
    events = session.push(sound)
    assert not of(Final, events)
    assert session.in_turn
    decode = session.awaited
    assert decode is not None
    heard_to_s = session.position_s
    assert session.push(silence(1.0)) == []  # buffered
    assert session.position_s == heard_to_s
    assert session.proceed() == []  # the decode is still running
    while session.awaited is not None:
        decodes.run(recognizer)
        events += session.proceed()
    assert decode.done()
    [final], [ended] = of(Final, events), of(TurnEnded, events)
    [alone] = of(Final, push_all(open_session(), join(sound, silence(1.0))))
    assert final == alone
    assert ended.reason is EndReason.SILENCE
    assert session.position_s == pytest.approx((len(sound) + 16_000) / 16_000, abs=WINDOW_S)


def test_a_session_that_is_closed_cancels_its_decodes(open_waiting_session):
    decodes = HeldDecodes()
    session = open_waiting_session(decodes)
    session.push(join(silence(0.3), speak(LONELY), silence(0.4)))
    waiting = session.awaited
    assert waiting is not None
    assert not waiting.done()
    session.close()
    assert all(result.cancelled() for _, result in decodes.submitted)
