"""What a sound card is given while a reply arrives, is late, is paused, goes on and is interrupted."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.client import AudioChunk, Interrupted, Loudspeaker, ReplyPaused, ReplyResumed, Sentence
from oviya.client.loudspeaker import CONCEAL_S, FADE_S, REBUFFER_S
from oviya.emotions.values import ProsodyPlan

RATE_HZ = 8_000
BLOCK = RATE_HZ // 50
PLAN = ProsodyPlan("calm", "", "", 1.0, 1.0, 1.0, 1.0)
LARGEST_STEP = 0.06
"""Largest difference of two neighbouring samples of `TONE`: a larger one clicks."""
TONE = (0.5 * np.sin(np.arange(2 * RATE_HZ) * 0.1)).astype(np.float32)


def chunk(begin: int, end: int, turn: int = 1) -> AudioChunk:
    return AudioChunk(turn, TONE[begin:end], RATE_HZ, position_s=begin / RATE_HZ)


def read(loudspeaker: Loudspeaker, seconds: float) -> np.ndarray:
    return np.concatenate([loudspeaker.read(BLOCK) for _ in range(round(seconds * RATE_HZ / BLOCK))])


def clicks(sound: np.ndarray) -> bool:
    return bool(np.abs(np.diff(sound, prepend=0.0)).max() > LARGEST_STEP)


@pytest.fixture
def loudspeaker() -> Loudspeaker:
    return Loudspeaker(RATE_HZ)


def test_chunks_come_out_as_one_sound_in_blocks_of_another_size(loudspeaker):
    assert not loudspeaker.read(BLOCK).any()
    for begin in range(0, 4000, 400):
        loudspeaker.handle(chunk(begin, begin + 400))
    assert loudspeaker.buffered_s == 0.5
    sound = read(loudspeaker, 0.5)
    np.testing.assert_array_equal(sound[100:], TONE[100:4000])  # the first samples fade in
    assert loudspeaker.buffered_s == 0
    assert loudspeaker.played == (1, 0.5)
    assert loudspeaker.underruns == 0


def test_a_late_chunk_is_counted_and_concealed(loudspeaker):
    loudspeaker.handle(Sentence(1, 0, "Hello there.", PLAN, "csm"))
    loudspeaker.handle(chunk(0, 1020))  # ends in the middle of a block, at a high sample
    late = read(loudspeaker, 0.2)
    loudspeaker.handle(chunk(1020, 3000))
    assert loudspeaker.played == (1, pytest.approx(1020 / RATE_HZ))
    sound = np.concatenate([late, read(loudspeaker, 0.2)])
    assert loudspeaker.underruns == 1
    assert abs(TONE[1019]) > 0.3
    assert not clicks(sound)
    conceal = round(CONCEAL_S * RATE_HZ)
    assert sound[1020 : 1020 + conceal].any()
    assert not sound[1020 + conceal : 1600].any()


def test_after_a_gap_some_sound_is_collected_so_that_one_gap_does_not_become_many(loudspeaker):
    loudspeaker.handle(Sentence(1, 0, "Hello there.", PLAN, "csm"))
    loudspeaker.handle(chunk(0, 640))
    read(loudspeaker, 0.2)
    loudspeaker.handle(chunk(640, 1280))
    assert not read(loudspeaker, 0.08).any()  # 80 ms are not enough
    loudspeaker.handle(chunk(1280, 1920))
    assert read(loudspeaker, 0.16)[100:].all()
    assert loudspeaker.underruns == 1


def test_more_is_collected_after_each_further_gap_of_a_reply(loudspeaker):
    loudspeaker.handle(Sentence(1, 0, "Hello there.", PLAN, "csm"))
    loudspeaker.handle(chunk(0, 640))
    waits = []
    for turn in (1, 1, 1, 1, 1, 2):
        read(loudspeaker, 2.0)  # plays all that there is
        loudspeaker.handle(chunk(640, 1280, turn))
        waits.append(0.0)
        while not loudspeaker.read(BLOCK).any():
            waits[-1] += 0.02
    assert waits == pytest.approx([0.16, 0.32, 0.64, 1.28, 1.28, 0.0], abs=0.021)
    assert loudspeaker.underruns == 5


def test_the_last_chunk_after_a_gap_is_played_although_no_other_follows(loudspeaker):
    loudspeaker.handle(Sentence(1, 0, "Hello there.", PLAN, "csm"))
    loudspeaker.handle(chunk(0, 640))
    read(loudspeaker, 0.2)
    loudspeaker.handle(chunk(640, 960))
    assert not read(loudspeaker, REBUFFER_S).any()
    assert read(loudspeaker, 0.04).any()


def test_sound_that_arrives_while_a_gap_is_concealed_does_not_click(loudspeaker):
    loudspeaker.handle(chunk(0, 1020))
    sound = loudspeaker.read(1060)  # 40 of 160 samples of what conceals the gap
    loudspeaker.handle(chunk(1020, 3000))
    assert not clicks(np.concatenate([sound, read(loudspeaker, 0.2)]))


def test_the_end_of_a_reply_and_the_pause_before_a_sentence_are_no_underruns(loudspeaker):
    loudspeaker.handle(chunk(0, 800))
    read(loudspeaker, 0.5)
    loudspeaker.handle(Sentence(1, 1, "More.", PLAN, "csm"))
    loudspeaker.handle(chunk(800, 1600))
    read(loudspeaker, 0.5)
    loudspeaker.handle(chunk(0, 800, turn=2))
    read(loudspeaker, 0.5)
    assert loudspeaker.underruns == 0
    assert loudspeaker.played == (2, 0.1)


def test_a_pause_fades_out_and_a_resumed_reply_goes_on_where_it_says(loudspeaker):
    loudspeaker.handle(chunk(0, 8000))
    before = read(loudspeaker, 0.2)
    loudspeaker.handle(ReplyPaused(1, 0.2))
    after = read(loudspeaker, 0.4)
    assert not clicks(np.concatenate([before, after]))
    fade = round(FADE_S * RATE_HZ)
    assert after[: fade // 2].any()
    assert not after[fade:].any()
    assert loudspeaker.report() is None  # the gateway knows the position that it paused at
    loudspeaker.handle(chunk(8000, 8800))  # was on its way
    assert not read(loudspeaker, 0.1).any()
    loudspeaker.handle(ReplyResumed(1, 0.15))
    loudspeaker.handle(chunk(1200, 8000))
    resumed = read(loudspeaker, 0.1)
    np.testing.assert_array_equal(resumed[100:], TONE[1300:2000])
    assert loudspeaker.played == (1, pytest.approx(0.25))
    assert loudspeaker.underruns == 0


def test_nothing_of_an_interrupted_reply_is_played_and_the_next_one_is(loudspeaker):
    loudspeaker.handle(chunk(0, 8000))
    read(loudspeaker, 0.1)
    loudspeaker.drop(1)  # the app asked for it
    loudspeaker.handle(chunk(8000, 9000))
    loudspeaker.handle(Interrupted(1, "requested", "", "", 0.1))
    assert not read(loudspeaker, 0.5)[round(FADE_S * RATE_HZ) :].any()
    loudspeaker.handle(chunk(0, 800, turn=2))
    assert read(loudspeaker, 0.1).any()
    assert loudspeaker.played == (2, 0.1)


def test_a_reply_that_was_not_yet_heard_is_dropped_at_once(loudspeaker):
    loudspeaker.read(BLOCK)
    loudspeaker.handle(chunk(0, 8000))
    loudspeaker.handle(Interrupted(1, "speech", "", "", 0.0))
    assert not read(loudspeaker, 0.2).any()
    assert loudspeaker.played is None


def test_reports_follow_what_is_heard_and_end_with_the_end():
    loudspeaker = Loudspeaker(RATE_HZ, latency_s=0.05)
    assert loudspeaker.report() is None
    loudspeaker.handle(chunk(0, 4000))
    reports = []
    for _ in range(50):
        loudspeaker.read(BLOCK)
        if report := loudspeaker.report():
            reports.append(report)
    turns, positions = zip(*reports, strict=True)
    assert set(turns) == {1}
    assert list(positions) == sorted(positions)
    assert positions[1] - positions[0] == pytest.approx(0.1, abs=0.021)
    assert 0.49999 < positions[-1] < 0.5  # never beyond what was sent, however it was rounded
    assert len(reports) < 12
