"""Sessions with the real voice detector and the real decoder, on real speech."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.endpoint.endpointing import EndSilence
from services.stt.endpoint.vad import SileroVad
from services.stt.engine.events import EndReason, Final, LikelyEnd, Partial, Resumed, SpeechStarted, TurnEnded
from services.stt.engine.limits import TurnLimits
from services.stt.engine.session import Session
from services.stt.frontend.frontend import FrontEnd
from services.stt.recognizer import Word
from tests.support.speech import SAD, silence, speak, word_errors
from tests.support.stt_session import DecodingSession

SILENCE = EndSilence(min_s=0.35, max_s=0.9, cap_s=1.5)
LIMITS = TurnLimits(0.3, SILENCE, max_turn_s=60.0, end_silence_s=0.6)
ADAPTIVE = TurnLimits(0.25, SILENCE, max_turn_s=60.0)
WINDOW_S = 0.032


@pytest.fixture(scope="module")
def recognizer():
    recognizer = SphinxRecognizer()
    yield recognizer
    recognizer.close()


@pytest.fixture(scope="module")
def vad():
    return SileroVad()


@pytest.fixture
def open_session(recognizer, vad):
    def open_session(rate_hz=16_000, limits=LIMITS):
        return DecodingSession(recognizer, vad.stream(), FrontEnd(), rate_hz, limits)

    return open_session


def said(*parts):
    return np.concatenate(parts)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def push_all(session, sound, chunk):
    events = []
    for start in range(0, len(sound), chunk):
        events += session.push(sound[start : start + chunk])
    return events


@pytest.mark.parametrize(
    ("rate_hz", "voice"),
    [
        # At 8 kHz half of the band is gone: these voices are still understood, flite's slt is not.
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
    sound = said(silence(0.5, rate_hz), speak(SAD, rate_hz, voice), silence(1.0, rate_hz))
    session = open_session(rate_hz)
    events = push_all(session, sound, rate_hz // 50)
    final, ended = events[-2:]
    assert isinstance(final, Final)
    assert word_errors(final.text, SAD) <= 2
    assert isinstance(ended, TurnEnded)
    assert ended.reason is EndReason.SILENCE
    assert session.finish() == []


def test_events_tell_when_and_where(open_session):
    lead, speech = silence(0.5), speak(SAD)
    events = push_all(open_session(), said(lead, speech, silence(1.0)), 320)
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

    assert len(final.words) >= 8
    for word, following in itertools.pairwise(final.words):
        assert word.start_s < word.end_s <= following.start_s
    assert final.words[0].start_s >= started.start_s - 0.15
    assert final.words[-1].end_s <= ended.speech_end_s + 0.15
    assert all(0.0 <= word.confidence <= 1.0 for word in final.words)
    # "sad" and "lonely" are the only long vowels near the end: their times must lie where their sound does.
    lonely = next(word for word in final.words if word.text == "lonely")
    assert lonely.end_s == pytest.approx(last_sound_s, abs=0.15)
    assert lonely.end_s - lonely.start_s > 0.3


def test_partials_come_at_least_every_300_ms_of_speech(open_session):
    events = push_all(open_session(), said(silence(0.5), speak(SAD), silence(1.0)), 320)
    partials, ended = of(Partial, events), of(TurnEnded, events)[0]
    times = [of(SpeechStarted, events)[0].at_s, *(partial.at_s for partial in partials), ended.speech_end_s]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    assert len(partials) >= 8
    assert max(gaps) <= 0.3
    assert len({partial.text for partial in partials}) >= 5
    assert partials[-1].text == of(Final, events)[0].text  # told in the pause, before it has lasted long enough
    assert next(partial.at_s for partial in partials if partial.text) - times[0] <= 0.6


NOISY, SEVERAL_PHRASES = (
    0.004,
    said(silence(0.5), speak("i had a long day at work"), silence(0.1), speak("and my boss was angry"), silence(1.0)),
)


@pytest.mark.parametrize("noise", [0.0, NOISY])
@pytest.mark.parametrize("sound", [said(silence(0.5), speak(SAD), silence(1.0)), SEVERAL_PHRASES])
def test_no_published_word_is_taken_back_by_a_partial_a_likely_end_or_the_final(open_session, sound, noise):
    """`open_session` takes no noise out: the decoder changes its mind a lot."""
    noisy = sound + np.random.default_rng(1).normal(0, noise, len(sound)).astype(np.float32)
    events = push_all(open_session(), noisy, 320)
    texts = [event.text.split() for event in of((Partial, LikelyEnd, Final), events)]
    assert len(of(Final, events)) == 1
    for before, after in itertools.pairwise(texts):
        assert after[: len(before)] == before


def test_the_final_stands_by_what_was_published_whatever_the_last_decode_hears(open_session, recognizer, monkeypatch):
    monkeypatch.setattr(recognizer, "end_phrase", lambda committed: [Word("nonsense", 0.1, 0.4, 1.0)])
    session = open_session()
    events = push_all(session, said(silence(0.5), speak(SAD), silence(1.0)), 320)
    committed = [
        partial.text for partial in of(Partial, events) if partial.at_s < of(TurnEnded, events)[0].speech_end_s
    ]
    final = of(Final, events)[0]
    assert len(committed[-1].split()) >= 3
    assert final.text.startswith(committed[-1])
    assert all(word.start_s <= word.end_s for word in final.words)
    # The phrase was never ended: what follows shows that the decoder copes.
    monkeypatch.undo()
    assert word_errors(of(Final, push_all(open_session(), said(speak(SAD), silence(1.0)), 320))[0].text, SAD) <= 2


def test_any_chunking_gives_the_same_events(open_session):
    sound = said(silence(0.3), speak(SAD, 24_000), silence(1.0, 24_000))
    at_once = push_all(open_session(24_000), sound, len(sound))
    in_bits = push_all(open_session(24_000), sound, 479)
    assert at_once == in_bits


def test_a_session_leaves_nothing_behind_for_the_next(open_session):
    sound = said(silence(0.3), speak(SAD), silence(1.0))
    alone = open_session().push(sound)
    other = open_session()
    other.push(0.2 * speak("my mother called me this morning", voice="kal16"))  # breaks off within a phrase
    assert open_session().push(sound) == alone


def test_two_turns_in_one_stream(open_session):
    second = "thank you very much for your help"
    events = push_all(open_session(), said(silence(0.3), speak(SAD), silence(1.5), speak(second), silence(1.0)), 320)
    finals = of(Final, events)
    assert [final.turn for final in finals] == [0, 1]
    assert word_errors(finals[0].text, SAD) <= 2
    assert word_errors(finals[1].text, second) <= 2
    assert finals[1].words[0].start_s > of(TurnEnded, events)[0].at_s
    assert [event.turn for event in of(SpeechStarted, events)] == [0, 1]


def test_the_words_are_decoded_before_the_silence_ends_the_turn(open_session, recognizer, monkeypatch):
    """The last passes run in the first half of the silence: nothing is left to do when it ends the turn."""
    session, ended_at_s = open_session(), []
    end_phrase = recognizer.end_phrase

    def note_when(committed):
        ended_at_s.append(session.position_s)
        return end_phrase(committed)

    monkeypatch.setattr(recognizer, "end_phrase", note_when)
    ended = of(TurnEnded, push_all(session, said(silence(0.3), speak(SAD), silence(1.0)), 320))[0]
    assert len(ended_at_s) == 1
    assert 0.3 <= ended_at_s[0] - ended.speech_end_s <= 0.3 + 2 * WINDOW_S


@pytest.mark.parametrize("pause_s", [0.15, 0.25])
def test_a_pause_within_a_sentence_does_not_end_the_turn(open_session, pause_s):
    first, second = "my mother called me this morning", "and said she is coming to visit"
    # flite adds about 0.2 s of silence at both ends of a sentence.
    events = push_all(
        open_session(), said(silence(0.3), speak(first), silence(pause_s), speak(second), silence(1.0)), 320
    )
    assert [ended.reason for ended in of(TurnEnded, events)] == [EndReason.SILENCE]
    assert word_errors(of(Final, events)[0].text, f"{first} {second}") <= 3
    starts = [word.start_s for word in of(Final, events)[0].words]
    assert starts == sorted(starts)


def test_the_callers_silence_rules(open_session):
    sound = said(silence(0.3), speak(SAD), silence(3.0))
    ended = of(TurnEnded, open_session(limits=TurnLimits(0.3, SILENCE, 60.0, end_silence_s=2.0)).push(sound))[0]
    assert 2.0 <= ended.at_s - ended.speech_end_s <= 2.0 + 2 * WINDOW_S


def test_a_turn_ends_on_request(open_session):
    session = open_session()
    assert session.end_turn() == []
    sound = said(silence(0.3), speak(SAD))
    events = session.push(sound[: len(sound) // 2])
    assert of(TurnEnded, events) == []
    final, ended = session.end_turn()
    assert ended.reason is EndReason.REQUESTED
    assert 3 <= len(final.words) <= 7
    assert session.end_turn() == []
    later = session.push(said(sound[len(sound) // 2 :], silence(1.0)))
    assert of(Final, later)[0].turn == 1
    assert word_errors(f"{final.text} {of(Final, later)[0].text}", SAD) <= 4


def test_the_end_of_the_stream_ends_the_turn(open_session):
    session = open_session(48_000)
    events = session.push(said(silence(0.3, 48_000), speak(SAD, 48_000)[:-9_600]))
    assert of(Final, events) == []
    *_, final, ended = session.finish()
    assert word_errors(final.text, SAD) <= 2
    assert ended.reason is EndReason.STREAM_END


def test_a_turn_that_is_too_long_goes_on_as_another(open_session):
    text = " ".join([SAD] * 3)
    session = open_session(limits=TurnLimits(0.3, SILENCE, 4.0, end_silence_s=0.6))
    events = push_all(session, said(silence(0.3), speak(text), silence(1.0)), 1600)
    ends = of(TurnEnded, events)
    assert [end.reason for end in ends[:-1]] == [EndReason.MAX_LENGTH] * (len(ends) - 1)
    assert len(ends) >= 2
    for started, ended in zip(of(SpeechStarted, events), ends, strict=True):
        assert ended.at_s - started.start_s <= 4.0 + WINDOW_S
    heard = " ".join(final.text for final in of(Final, events))
    assert word_errors(heard, text) <= 2 * 3 + 2 * (len(ends) - 1)


def test_silence_for_ten_minutes_says_nothing(open_session):
    session = open_session()
    minute = silence(60.0)
    assert [event for _ in range(10) for event in session.push(minute)] == []
    assert session.finish() == []
    assert session.position_s == pytest.approx(600.0, abs=WINDOW_S)


def silence_before_end(events):
    ended = of(TurnEnded, events)[-1]
    return ended.at_s - ended.speech_end_s


def test_a_whole_sentence_is_over_sooner_than_half_of_one(open_session):
    whole = push_all(open_session(limits=ADAPTIVE), said(silence(0.3), speak("thank you very much"), silence(2.0)), 320)
    half = push_all(open_session(limits=ADAPTIVE), said(silence(0.3), speak("i want to go to the"), silence(2.0)), 320)
    assert silence_before_end(whole) <= 0.7
    assert silence_before_end(half) >= 0.85


def test_a_likely_end_comes_before_the_end_with_the_same_words(open_session):
    events = push_all(open_session(limits=ADAPTIVE), said(silence(0.3), speak(SAD), silence(2.0)), 320)
    [likely], [final] = of(LikelyEnd, events), of(Final, events)
    assert likely.text == final.text
    assert likely.at_s < final.at_s
    assert of(Resumed, events) == []


def test_who_goes_on_after_a_likely_end_takes_it_back(open_session):
    sound = said(silence(0.3), speak("thank you very much"), silence(0.1), speak("for your help"), silence(2.0))
    events = push_all(open_session(limits=LIMITS), sound, 320)
    kinds = [type(event) for event in events if not isinstance(event, Partial)]
    assert kinds == [SpeechStarted, LikelyEnd, Resumed, LikelyEnd, Final, TurnEnded]
    [first, second] = of(LikelyEnd, events)
    assert second.text.startswith(first.text)
    assert len(second.text) > len(first.text)


def test_an_unfinished_sentence_has_no_likely_end(open_session):
    sound = said(silence(0.3), speak("i want to go to the"), silence(2.0))
    events = push_all(open_session(limits=ADAPTIVE), sound, 320)
    assert of(LikelyEnd, events) == []
    assert len(of(TurnEnded, events)) == 1


@pytest.mark.parametrize("pause_s", [0.9, 1.2])
def test_a_pause_between_the_groups_of_a_phone_number_does_not_end_the_turn(open_session, pause_s):
    limits = TurnLimits(0.2, EndSilence(0.3, 0.9, 1.5, dictation_s=2.2), max_turn_s=60.0)
    sound = said(
        silence(0.3),
        speak("my number is five five five"),
        silence(pause_s),
        speak("one two three"),
        silence(pause_s),
        speak("four five six seven"),
        silence(3.0),
    )
    events = push_all(open_session(limits=limits), sound, 320)
    [final] = of(Final, events)
    assert word_errors(final.text, "my number is five five five one two three four five six seven") <= 3
    assert 0.8 <= silence_before_end(events) <= 2.3


def test_a_whole_sentence_with_a_number_in_it_does_not_wait_for_more(open_session):
    limits = TurnLimits(0.2, EndSilence(0.3, 0.9, 1.5, dictation_s=2.2), max_turn_s=60.0)
    events = push_all(open_session(limits=limits), said(silence(0.3), speak("it is half past six"), silence(3.0)), 320)
    assert silence_before_end(events) <= 1.0


def test_a_turn_waits_for_its_recognizer_and_loses_nothing(recognizer, vad):
    sound = said(silence(0.3), speak(SAD), silence(1.0))
    session = Session(vad.stream(), FrontEnd(), 16_000, LIMITS)
    events = push_all(session, sound[: len(sound) // 2], 320)
    assert [type(event) for event in events] == [SpeechStarted]
    assert session.needs_recognizer
    events += session.push(sound[len(sound) // 2 :])  # nothing more is heard until it has one
    assert len(events) == 1
    events += session.attach(recognizer)
    assert not session.has_recognizer  # given back after the turn
    [final] = of(Final, events)
    assert word_errors(final.text, SAD) <= 2
    assert of(TurnEnded, events)[0].reason is EndReason.SILENCE
