"""A segment: when it is decoded, what it keeps, how a long one is split."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.errors import Unavailable
from services.stt.engine.segment import DETECT_S, DRAFT_EVERY_S, DRAFT_SHARE, Segment
from services.stt.recognizer import Transcript, Word
from tests.support.metrics import metric
from tests.support.stt_session import HeldDecodes

PIECE = np.zeros(1600, np.float32)
PIECE_S = 0.1


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def transcript(*ends_s):
    """Words a, b, c ..., which end there."""
    starts_s = (0.0, *ends_s)
    words = [
        Word(letter, start_s, end_s, 0.9, f" {letter}")
        for letter, start_s, end_s in zip("abcdefgh", starts_s, ends_s, strict=False)
    ]
    return Transcript(tuple(words), "en")


def talk(segment, seconds, clock=None):
    """Adds speech in real time."""
    for _ in range(round(seconds / PIECE_S)):
        segment.add(PIECE, speech=True)
        if clock is not None:
            clock.now_s += PIECE_S
        segment.draft()


def drafts_in(seconds, cost_s):
    """Returns how many drafts are made of so many seconds of speech if each takes `cost_s`."""
    clock, decodes = Clock(), HeldDecodes()
    segment = Segment(decodes, 0, clock=clock)
    due_s = []
    for _ in range(round(seconds / PIECE_S)):
        segment.add(PIECE, speech=True)
        clock.now_s += PIECE_S
        segment.draft()
        due_s += [clock.now_s + cost_s] * (len(decodes.submitted) - len(due_s))
        for (_, result), at_s in zip(decodes.submitted, due_s, strict=True):
            if not result.done() and clock.now_s >= at_s - 1e-9:
                result.set_result(transcript(0.1))
    return len(decodes.submitted)


def test_slow_decodes_make_drafts_rarer():
    seconds = 30.0
    at_once, quick, slow, stuck = (drafts_in(seconds, cost_s) for cost_s in (0.0, 0.1, 1.0, 60.0))
    assert at_once == pytest.approx(seconds / DRAFT_EVERY_S, abs=2)
    assert quick == pytest.approx(seconds / DRAFT_EVERY_S, rel=0.3)
    assert slow == pytest.approx(seconds * DRAFT_SHARE / 1.0, rel=0.2)
    assert stuck == 1


def test_a_pause_makes_drafts_no_rarer():
    clock, decodes = Clock(), HeldDecodes()
    segment = Segment(decodes, 0, clock=clock)
    talk(segment, 2.0, clock)
    segment.begin_final()
    for _, result in decodes.submitted:
        if not result.done():
            result.set_result(transcript(0.1))
    segment.words()
    for _ in range(20):  # the speaker thinks
        segment.add(PIECE, speech=False)
        clock.now_s += PIECE_S
    before = len(decodes.submitted)
    talk(segment, PIECE_S, clock)
    assert len(decodes.submitted) == before + 1


def test_a_draft_that_ends_after_a_final_decode_is_ignored():
    decodes = HeldDecodes()
    segment = Segment(decodes, 0)
    talk(segment, 0.5)
    draft = decodes.submitted[0][1]
    assert draft.set_running_or_notify_cancel()
    for _ in range(2):
        segment.begin_final().set_result(transcript(0.1, 0.2, 0.3))
        segment.words()
        talk(segment, PIECE_S)
    committed = segment.committed
    assert len(committed) == 3
    draft.set_result(transcript(0.05))
    talk(segment, PIECE_S)
    assert segment.committed == committed


def test_a_draft_has_the_newest_sound_and_a_final_that_of_its_moment():
    decodes = HeldDecodes()
    segment = Segment(decodes, 0, ["Oviya"], "en")
    talk(segment, 0.3)
    segment.add(PIECE, speech=True)
    [draft] = decodes.waiting
    assert (len(draft.sound), draft.final, draft.vocabulary, draft.language) == (6400, False, ("Oviya",), "en")
    segment.begin_final()
    segment.add(PIECE, speech=False)
    [final] = decodes.waiting  # the draft was cancelled
    assert (len(final.sound), final.final) == (6400, True)
    assert final.speech_s == pytest.approx(0.4)


@pytest.mark.parametrize(("known", "expected"), [(None, None), ("de", "de")])
def test_little_speech_is_in_the_language_of_what_came_before(known, expected):
    decodes = HeldDecodes()
    segment = Segment(decodes, 0, language=known)
    talk(segment, DETECT_S - 0.2)
    segment.begin_final()
    assert decodes.waiting[-1].language == expected
    decodes.submitted[-1][1].set_result(transcript(0.5))
    segment.words()
    assert segment.known_language == expected


def test_the_language_of_more_speech_is_detected():
    decodes = HeldDecodes()
    segment = Segment(decodes, 0, language="de")
    talk(segment, DETECT_S + 0.2)
    segment.begin_final()
    assert decodes.waiting[-1].language is None
    decodes.submitted[-1][1].set_result(transcript(0.5))
    _, rest = segment.split(1.0)
    assert segment.known_language == rest.known_language == "en"


def test_silence_leaves_a_final_decode_valid_and_speech_cancels_it():
    decodes = HeldDecodes()
    segment = Segment(decodes, 0)
    segment.add(PIECE, speech=True)
    first = segment.begin_final()
    segment.add(PIECE, speech=False)
    assert segment.begin_final() is first
    segment.add(PIECE, speech=True)
    assert first.cancelled()
    second = segment.begin_final()
    assert second is not first
    second.set_result(transcript(0.1))
    assert [word.text for word in segment.words()] == ["a"]
    segment.words()
    assert len(decodes.submitted) == 2


def test_times_are_of_the_session_and_within_speech():
    decodes = HeldDecodes()
    segment = Segment(decodes, 160_000)
    for speech in [False] * 5 + [True] * 10 + [False] * 5:
        segment.add(PIECE, speech=speech)
    segment.begin_final().set_result(transcript(0.9, 1.2, 2.0))
    first, second, third = segment.words()
    assert (first.start_s, first.end_s) == pytest.approx((10.4, 10.9))  # not from the silence before it
    assert (second.start_s, second.end_s) == pytest.approx((10.9, 11.2))
    assert (third.start_s, third.end_s) == pytest.approx((11.2, 11.6))
    assert segment.language == "en"


def test_a_draft_that_fails_is_counted_and_disturbs_nothing():
    failed = metric("stt_drafts_failed_total")
    clock, decodes = Clock(), HeldDecodes()
    segment = Segment(decodes, 0, clock=clock)
    talk(segment, 0.5, clock)
    decodes.submitted[0][1].set_exception(Unavailable("stt", "out of memory"))
    talk(segment, 3.0, clock)
    assert metric("stt_drafts_failed_total") == failed + 1
    assert len(decodes.submitted) == 2
    segment.begin_final().set_result(transcript(0.1))
    assert [word.text for word in segment.words()] == ["a"]


def test_a_final_decode_that_fails_is_told():
    segment = Segment(HeldDecodes(), 0)
    segment.add(PIECE, speech=True)
    segment.begin_final().set_exception(Unavailable("stt", "out of memory"))
    with pytest.raises(Unavailable):
        segment.words()


def test_closing_cancels_all_decodes():
    decodes = HeldDecodes()
    segment = Segment(decodes, 0)
    talk(segment, 0.5)
    segment.close()
    segment.begin_final()
    segment.close()
    assert len(decodes.submitted) == 2
    assert decodes.waiting == []


def long_segment(start=0):
    decodes = HeldDecodes()
    segment = Segment(decodes, start, ["Oviya"])
    for _ in range(280):
        segment.add(PIECE, speech=True)
    return segment, decodes


def test_a_split_decodes_the_words_at_the_cut_again():
    segment, decodes = long_segment(start=16_000)
    segment.begin_final().set_result(transcript(10.0, 26.5, 27.8))
    words, rest = segment.split(overlap_s=1.0)
    assert [word.text for word in words] == ["a", "b"]
    assert rest.length == 28 * 16_000 - round(26.5 * 16_000)
    rest.begin_final()
    [request] = decodes.waiting
    assert len(request.sound) == rest.length
    assert request.vocabulary == ("Oviya",)
    decodes.submitted[-1][1].set_result(transcript(1.3))
    [word] = rest.words()
    assert (word.start_s, word.end_s) == pytest.approx((27.5, 28.8))  # 1 s is the segment's start


def test_a_split_keeps_the_committed_words_at_the_cut():
    segment, _ = long_segment()
    for position_s in (0.0, 1.0):  # the last word has been the same for a second
        segment._agreement.update(transcript(10.0, 26.5, 27.8).words, 26.0 + position_s)
    segment.begin_final().set_result(transcript(10.0, 26.5, 27.8))
    words, rest = segment.split(overlap_s=1.0)
    assert [word.text for word in words] == ["a", "b", "c"]
    assert rest.length == 28 * 16_000 - round(27.8 * 16_000)


def test_a_split_of_sound_without_words_keeps_its_end():
    segment, _ = long_segment()
    segment.begin_final().set_result(transcript())
    words, rest = segment.split(overlap_s=1.0)
    assert words == []
    assert rest.length == 16_000
