"""The playout's queue: order, positions, markers, cuts, gaps and reports."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.transport.webrtc.playout_queue import (
    FADE_S,
    FRAME_S,
    FRAME_SAMPLES,
    PREBUFFER_S,
    RATE_HZ,
    Piece,
    PlayoutQueue,
)
from tests.support.metrics import metric

FADE_FRAMES = round(FADE_S / FRAME_S)


class Player:
    """A queue whose frames are taken; keeps what is reported."""

    def __init__(self):
        self.reports = []
        self.told = []
        self.queue = PlayoutQueue(lambda turn, seconds: self.reports.append((turn, seconds)))

    def put(self, seconds, value=0.5, *, turn=0, at=0.0):
        self.queue.put(Piece(np.full(round(seconds * RATE_HZ), value, np.float32), turn, round(at * RATE_HZ)))

    def mark(self, name):
        self.queue.mark(lambda: self.told.append(name))

    def after_fade(self, name):
        self.queue.after_fade(lambda: self.told.append(name))

    def take(self, frames):
        """The sound of the next frames; silence where there is nothing to play."""
        taken = [self.queue.next_samples() for _ in range(frames)]
        silence = np.zeros(FRAME_SAMPLES, np.float32)
        return np.concatenate([silence[:0], *(silence if one is None else one for one in taken)])


@pytest.fixture
def player():
    return Player()


@pytest.fixture
def gaps():
    """Counts the gaps, and their seconds, since the start of a test."""
    names = ("gateway_playout_underruns_total", "gateway_playout_underrun_seconds_total")
    before = [metric(name) for name in names]
    return lambda: tuple(metric(name) - was for name, was in zip(names, before, strict=True))


def test_what_is_queued_is_played_in_order_and_then_nothing(player, gaps):
    ramp = np.linspace(-1, 1, 5000, dtype=np.float32)
    player.queue.put(Piece(ramp[:3001], 0, 0))
    player.queue.put(Piece(ramp[3001:], 0, 3001))
    player.queue.end_reply()
    played = player.take(6)
    assert np.array_equal(played[:5000], ramp)
    assert not played[5000:].any()
    assert player.queue.next_samples() is None
    assert player.queue.idle
    assert gaps() == (0, 0)


def test_markers_are_called_when_their_place_is_played(player):
    player.mark("first")
    player.put(0.1)
    player.mark("second")
    player.put(0.06)
    player.mark("end")
    player.queue.end_reply()
    seen = []
    for _ in range(9):
        player.take(1)
        seen.append(len(player.told))
    assert player.told == ["first", "second", "end"]
    assert seen == [1, 1, 1, 1, 2, 2, 2, 3, 3]  # 100 ms are five frames, 60 ms are three


def test_a_sentence_is_not_announced_before_its_sound(player):
    player.mark("sentence")
    player.take(3)
    assert player.told == []
    player.put(0.1)
    player.take(1)
    assert player.told == ["sentence"]


def test_the_sentence_after_a_gap_is_not_announced_before_its_sound(player):
    player.put(0.1)
    player.take(6)
    player.mark("second")
    player.take(1)
    assert player.told == []
    player.put(0.1)
    player.take(1)
    assert player.told == ["second"]


def test_the_end_of_a_reply_without_sound_is_announced(player):
    player.mark("end")
    player.queue.end_reply()
    player.take(1)
    assert player.told == ["end"]
    assert player.queue.idle


def test_a_reply_starts_with_the_first_frame_of_the_codec(player):
    player.put(0.08)
    assert player.take(1).all()


def test_less_sound_waits_for_more_but_not_for_ever(player):
    player.put(PREBUFFER_S - 0.010)
    assert not player.take(3).any()
    assert player.take(1).all()  # nobody says that the reply is over before it has been played
    player.queue.clear()
    player.put(PREBUFFER_S - 0.010)
    assert not player.take(2).any()
    player.put(0.010)
    assert player.take(3).all()


# --- Reports ----------------------------------------------------------------------------------------------------------


def test_the_position_is_reported_five_times_a_second_and_at_the_end(player):
    player.put(1.0, turn=3, at=0.5)
    player.take(60)
    # The last whole millisecond before the position, so that none is beyond what was sent.
    assert player.reports == [(3, 0.519), (3, 0.719), (3, 0.919), (3, 1.119), (3, 1.319), (3, 1.499)]


def test_the_end_of_the_sound_is_reported_once_before_the_reply_is_known_to_be_over(player, gaps):
    player.put(0.1, turn=1)
    player.take(5)
    reports = len(player.reports)
    player.take(20)
    assert player.reports[reports:] == [(1, 0.099)]
    player.mark("ended")
    player.queue.end_reply()
    player.take(1)
    assert player.told == ["ended"]
    player.put(0.2, turn=2)
    player.take(1)
    assert gaps() == (0, 0)


def test_a_cut_reports_what_faded_out_and_a_resume_goes_back(player):
    player.put(1.0)
    player.take(10)
    player.queue.fade_out()
    player.take(FADE_FRAMES + 1)
    assert player.reports[-1] == (0, pytest.approx(0.199 + FADE_S))
    player.put(0.8, at=0.15)
    player.take(50)
    assert player.reports[-1] == (0, 0.949)
    assert min(seconds for _, seconds in player.reports[-4:]) < 0.4


# --- Cuts -------------------------------------------------------------------------------------------------------------


def test_a_cut_fades_out_smoothly_and_drops_the_rest(player, gaps):
    player.put(2.0)
    player.mark("next sentence")
    player.put(2.0, at=2.0)
    player.take(10)
    player.queue.fade_out()
    fade = player.take(FADE_FRAMES)
    assert np.all(np.diff(fade) <= 0)
    assert fade[0] == pytest.approx(0.5, abs=1e-3)
    assert abs(fade[-1]) < 1e-6
    assert np.abs(np.diff(fade)).max() < 1e-3
    assert player.queue.next_samples() is None
    assert player.told == []
    assert gaps() == (0, 0)


def test_a_cut_within_a_gap_lets_the_concealment_decay(player):
    player.put(0.1)
    before = player.take(6)
    player.queue.fade_out()
    after = player.take(5)
    assert np.abs(np.diff(np.concatenate((before[-FRAME_SAMPLES:], after)))).max() < 0.02
    assert not after[-FRAME_SAMPLES:].any()


def test_events_after_a_cut_wait_for_the_fade(player):
    player.after_fade("before")
    player.put(1.0)
    player.take(3)
    player.queue.fade_out()
    player.after_fade("paused")
    player.after_fade("next")
    seen = []
    for _ in range(FADE_FRAMES):
        seen.append(list(player.told))
        player.take(1)
    assert seen == [["before"]] * FADE_FRAMES
    assert player.told == ["before", "paused", "next"]


def test_the_second_of_two_cuts_keeps_the_fade_and_the_events(player):
    player.put(1.0)
    player.take(3)
    player.queue.fade_out()
    player.after_fade("paused")
    first = player.take(1)
    player.put(1.0, turn=1)
    player.mark("sentence")
    player.queue.fade_out()
    player.after_fade("interrupted")
    second = player.take(3)
    assert np.diff(np.concatenate((first, second))).max() <= 0
    assert not second[-FRAME_SAMPLES:].any()
    assert player.told == ["paused", "interrupted"]


def test_a_cut_of_silence_is_over_at_once(player):
    player.queue.fade_out()
    player.after_fade("interrupted")
    assert player.told == ["interrupted"]
    player.put(0.03)  # less than a reply starts with
    player.queue.fade_out()
    assert player.queue.next_samples() is None


@pytest.mark.parametrize("frames_between", [0, 1, 5])
def test_sound_after_a_cut_begins_without_a_click_and_is_whole(player, frames_between):
    player.put(1.0, 0.3)
    player.take(5)
    player.queue.fade_out()
    player.take(frames_between)
    player.put(0.2, 0.7)
    player.queue.end_reply()
    faded = player.take(max(0, FADE_FRAMES - frames_between))
    assert len(faded) == 0 or abs(faded[-1]) < 1e-6
    played = player.take(10)
    assert np.abs(np.diff(played, prepend=0.0)).max() < 0.02
    assert played[FRAME_SAMPLES:] == pytest.approx(0.7)


# --- Gaps -------------------------------------------------------------------------------------------------------------


def test_late_sound_is_counted_as_one_gap_with_its_length(player, gaps):
    player.put(0.1)
    player.take(10)  # 100 ms of sound, 100 ms of nothing
    assert gaps() == (0, 0)  # it may be the end of the reply
    player.put(0.1, at=0.1)
    player.queue.end_reply()
    player.take(20)
    assert gaps() == (1, pytest.approx(0.1))


def test_a_gap_is_bridged_and_fades_and_the_sound_after_it_joins(player):
    time = np.arange(RATE_HZ) / RATE_HZ
    tone = (0.4 * np.sin(2 * np.pi * 150 * time)).astype(np.float32)
    cut = round(0.3 * RATE_HZ)
    player.queue.put(Piece(tone[:cut], 0, 0))
    before, gap = player.take(15), player.take(5)
    player.queue.put(Piece(tone[cut:], 0, cut))
    player.queue.end_reply()
    played = np.concatenate((before, gap, player.take(40)))
    assert np.abs(np.diff(played)).max() < 1.2 * np.abs(np.diff(tone)).max()
    levels = [np.abs(gap[start : start + FRAME_SAMPLES]).max() for start in range(0, len(gap), FRAME_SAMPLES)]
    assert levels[0] > 0.35
    assert levels[0] > levels[1] > levels[2] > levels[3] == levels[4] == 0


def test_a_short_gap_is_bridged_without_silence(player, gaps):
    player.put(0.1)
    player.take(6)
    player.put(0.1, at=0.1)
    assert np.abs(player.take(4)).min() > 0.3
    assert gaps() == (1, pytest.approx(0.02))


def test_after_each_gap_of_a_reply_more_sound_is_waited_for(player, gaps):
    player.put(0.1)
    player.take(10)
    player.put(0.1, at=0.1)  # more than a reply starts with, less than after a gap
    assert not player.take(3).any()
    player.put(0.1, at=0.2)
    assert player.take(10).all()
    player.queue.end_reply()
    player.take(10)
    player.put(0.08, turn=1)
    assert player.take(1).all()
    assert gaps()[0] == 1


def test_the_silence_between_replies_and_after_a_cut_is_no_gap(player, gaps):
    for turn in range(2):
        player.put(0.1, turn=turn)
        player.queue.end_reply()
        player.take(20)
    player.put(1.0, turn=2)
    player.take(5)
    player.queue.fade_out()
    player.take(20)
    player.put(0.5, turn=2, at=0.1)
    player.take(20)
    assert gaps() == (0, 0)
