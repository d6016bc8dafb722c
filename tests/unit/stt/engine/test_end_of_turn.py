"""How turns end: by silence, by request, at their longest length, at the end of the stream."""

from __future__ import annotations

import numpy as np
import pytest

from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.events import (
    EndReason,
    Final,
    LikelyEnd,
    Partial,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    TurnEnded,
)
from services.stt.engine.limits import TurnLimits
from tests.support.speech import LONELY, silence, speak, word_errors
from tests.support.stt_recognizers import WrappedRecognizer
from tests.support.stt_session import ADAPTIVE, LIMITS, SILENCE, WINDOW_S, HeldDecodes, join, of, plain_words, push_all


def silence_before_end(events):
    ended = of(TurnEnded, events)[-1]
    return ended.at_s - ended.speech_end_s


def test_the_last_decode_starts_with_the_silence_and_is_the_only_one(open_session, recognizer):
    """So nothing is left to do when the silence has ended the turn."""
    started_s = []

    def note_when(request):
        if request.final:
            started_s.append(session.position_s)

    counted = WrappedRecognizer(recognizer, note_when)
    session = open_session(recognizer=counted)
    ended = of(TurnEnded, push_all(session, join(silence(0.3), speak(LONELY), silence(1.0))))[0]
    assert len(counted.finals) == 1
    assert started_s[0] - ended.speech_end_s == pytest.approx(WINDOW_S)


def test_a_decode_of_the_sound_so_far_is_discarded_if_the_speaker_goes_on(open_waiting_session, recognizer):
    decodes = HeldDecodes()
    session = open_waiting_session(decodes)
    session.push(join(silence(0.3), loud_part("thank you very much"), silence(0.25)))
    assert [request.final for request in decodes.waiting] == [True]
    first = decodes.submitted[-1][1]
    session.push(loud_part("for your help"))
    assert first.cancelled()
    session.push(silence(2.0))
    assert [request.final for request in decodes.waiting] == [True]
    decodes.run(recognizer)
    [final] = of(Final, session.proceed())
    assert word_errors(final.text, "thank you very much for your help") <= 1


def loud_part(text):
    """Returns speech without the silence that flite adds at both ends."""
    sound = speak(text)
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    return sound[loud[0] : loud[-1]]


@pytest.mark.parametrize("pause_s", [0.15, 0.25])
def test_a_pause_within_a_sentence_does_not_end_the_turn(open_session, pause_s):
    first, second = "my mother called me this morning", "and said she is coming to visit"
    # flite adds about 0.2 s of silence at both ends of a sentence.
    events = push_all(open_session(), join(silence(0.3), speak(first), silence(pause_s), speak(second), silence(1.0)))
    assert [ended.reason for ended in of(TurnEnded, events)] == [EndReason.SILENCE]
    assert word_errors(of(Final, events)[0].text, f"{first} {second}") <= 3
    starts = [word.start_s for word in of(Final, events)[0].words]
    assert starts == sorted(starts)


def test_the_callers_silence_rules(open_session):
    sound = join(silence(0.3), speak(LONELY), silence(3.0))
    ended = of(TurnEnded, open_session(limits=TurnLimits(0.3, SILENCE, 60.0, end_silence_s=2.0)).push(sound))[0]
    assert 2.0 <= ended.at_s - ended.speech_end_s <= 2.0 + 2 * WINDOW_S


def test_a_turn_ends_on_request(open_session):
    session = open_session()
    assert session.end_turn() == []
    sound = join(silence(0.3), speak(LONELY))
    events = session.push(sound[: len(sound) // 2])
    assert of(TurnEnded, events) == []
    final, ended = session.end_turn()
    assert ended.reason is EndReason.REQUESTED
    assert 3 <= len(final.words) <= 7
    assert session.end_turn() == []
    later = session.push(join(sound[len(sound) // 2 :], silence(1.0)))
    assert of(Final, later)[0].turn == 1
    assert word_errors(f"{final.text} {of(Final, later)[0].text}", LONELY) <= 4


def test_the_end_of_the_stream_ends_the_turn(open_session):
    session = open_session(48_000)
    events = session.push(join(silence(0.3, 48_000), speak(LONELY, 48_000)[:-9_600]))
    assert of(Final, events) == []
    *_, final, ended = session.finish()
    assert word_errors(final.text, LONELY) <= 2
    assert ended.reason is EndReason.STREAM_END


def test_a_turn_that_is_too_long_goes_on_as_another(open_session):
    text = " ".join([LONELY] * 3)
    session = open_session(limits=TurnLimits(0.3, SILENCE, 4.0, end_silence_s=0.6))
    events = push_all(session, join(silence(0.3), speak(text), silence(1.0)), 1600)
    ends = of(TurnEnded, events)
    assert [end.reason for end in ends[:-1]] == [EndReason.MAX_LENGTH] * (len(ends) - 1)
    assert len(ends) >= 2
    for started, ended in zip(of(SpeechStarted, events), ends, strict=True):
        assert ended.at_s - started.start_s <= 4.0 + WINDOW_S
    heard = " ".join(final.text for final in of(Final, events))
    assert word_errors(heard, text) <= 2 * 3 + 2 * (len(ends) - 1)


def test_a_whole_sentence_is_over_sooner_than_half_of_one(open_session):
    whole = push_all(open_session(limits=ADAPTIVE), join(silence(0.3), speak("i had a long day at work"), silence(2.0)))
    half = push_all(open_session(limits=ADAPTIVE), join(silence(0.3), speak("i want to go to the"), silence(2.0)))
    assert silence_before_end(whole) <= 0.7
    assert silence_before_end(half) >= 0.85


def test_a_likely_end_comes_before_the_end_with_the_same_words(open_session):
    events = push_all(open_session(limits=ADAPTIVE), join(silence(0.3), speak(LONELY), silence(2.0)))
    [likely], [final] = of(LikelyEnd, events), of(Final, events)
    assert likely.text == final.text
    assert likely.at_s < final.at_s
    assert of(Resumed, events) == []


def test_silence_is_reported_before_the_words_are_known_and_with_its_start(open_session):
    events = push_all(open_session(limits=ADAPTIVE), join(silence(0.3), speak(LONELY), silence(2.0)))
    [stopped], [likely], [ended] = of(SpeechStopped, events), of(LikelyEnd, events), of(TurnEnded, events)
    assert stopped.at_s <= likely.at_s
    assert stopped.end_s == ended.speech_end_s
    assert 0.1 <= stopped.at_s - stopped.end_s <= 0.3


def test_a_likely_end_is_withdrawn_when_the_speaker_goes_on(open_session):
    sound = join(silence(0.3), speak("thank you very much"), silence(0.1), speak("for your help"), silence(2.0))
    events = push_all(open_session(limits=LIMITS), sound)
    kinds = [type(event) for event in events if not isinstance(event, Partial)]
    assert kinds == [SpeechStarted, SpeechStopped, LikelyEnd, Resumed, SpeechStopped, LikelyEnd, Final, TurnEnded]
    [first, second] = of(LikelyEnd, events)
    assert plain_words(second.text)[: len(plain_words(first.text))] == plain_words(first.text)
    assert len(second.text) > len(first.text)


def test_an_unfinished_sentence_has_no_likely_end(open_session):
    sound = join(silence(0.3), speak("i want to go to the"), silence(2.0))
    events = push_all(open_session(limits=ADAPTIVE), sound)
    assert of(LikelyEnd, events) == []
    assert len(of(TurnEnded, events)) == 1


@pytest.mark.parametrize("pause_s", [0.9, 1.2])
def test_a_pause_between_the_groups_of_a_phone_number_does_not_end_the_turn(open_session, pause_s):
    limits = TurnLimits(0.2, EndSilence(0.3, 0.9, 1.5, dictation_s=2.2), max_turn_s=60.0)
    sound = join(
        silence(0.3),
        speak("my number is five five five"),
        silence(pause_s),
        speak("one two three"),
        silence(pause_s),
        speak("four five six seven"),
        silence(3.0),
    )
    events = push_all(open_session(limits=limits), sound)
    [final] = of(Final, events)
    assert "".join(filter(str.isdigit, final.text)) == "5551234567"
    assert 0.8 <= silence_before_end(events) <= 2.3


def test_a_whole_sentence_with_a_number_in_it_does_not_wait_for_more(open_session):
    limits = TurnLimits(0.2, EndSilence(0.3, 0.9, 1.5, dictation_s=2.2), max_turn_s=60.0)
    events = push_all(open_session(limits=limits), join(silence(0.3), speak("it is half past six"), silence(3.0)))
    assert silence_before_end(events) <= 1.0
