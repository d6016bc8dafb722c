"""The state of a turn with given probabilities: one number for each window of 32 ms."""

from __future__ import annotations

import pytest

from services.stt.endpoint.turn_state import HESITATION, Transition, TurnStateMachine
from services.stt.endpoint.vad import WINDOW_SAMPLES

PHRASE_WINDOWS, END_WINDOWS = 4, 8
HESITATION_WINDOWS = HESITATION // WINDOW_SAMPLES


@pytest.fixture
def machine():
    return TurnStateMachine(PHRASE_WINDOWS * WINDOW_SAMPLES, END_WINDOWS * WINDOW_SAMPLES)


def play(machine, *probabilities):
    """Returns (window, transition) for every transition; windows are counted from the start."""
    edges = []
    for probability in probabilities:
        edge = machine.step(probability)
        if edge:
            edges.append((machine.position // WINDOW_SAMPLES, edge))
    return edges


def test_a_turn_starts_at_the_first_of_two_windows_of_speech(machine):
    assert play(machine, 0.0, 0.0, 0.9, 0.9) == [(4, Transition.STARTED)]
    assert machine.speech_start == 2 * WINDOW_SAMPLES
    assert machine.in_turn
    assert machine.in_phrase


def test_a_click_starts_nothing(machine):
    assert play(machine, *[0.0, 0.9, 0.0] * 20) == []
    assert not machine.in_turn


def test_silence_pauses_and_then_ends_the_turn(machine):
    edges = play(machine, 0.9, 0.9, 0.9, *[0.0] * END_WINDOWS)
    assert edges == [
        (2, Transition.STARTED),
        (3 + HESITATION_WINDOWS, Transition.HESITATED),
        (3 + PHRASE_WINDOWS, Transition.PAUSED),
        (3 + END_WINDOWS, Transition.ENDED),
    ]
    assert machine.speech_end == 3 * WINDOW_SAMPLES
    assert not machine.in_turn


def test_speech_after_a_pause_belongs_to_the_same_turn(machine):
    edges = play(machine, 0.9, 0.9, *[0.0] * (END_WINDOWS - 1), 0.9, 0.9, 0.9, *[0.0] * END_WINDOWS)
    assert [edge for _, edge in edges] == [
        Transition.STARTED,
        Transition.HESITATED,
        Transition.PAUSED,
        Transition.RESUMED,
        Transition.HESITATED,
        Transition.PAUSED,
        Transition.ENDED,
    ]
    assert machine.speech_start == 0
    assert machine.speech_end == (2 + END_WINDOWS - 1 + 3) * WINDOW_SAMPLES


def test_speech_that_resumes_at_the_last_moment_is_not_cut_off(machine):
    edges = play(machine, 0.9, 0.9, *[0.0] * (END_WINDOWS - 1), 0.9)
    assert [edge for _, edge in edges] == [Transition.STARTED, Transition.HESITATED, Transition.PAUSED]
    assert play(machine, 0.9)[0][1] is Transition.RESUMED


def test_a_blip_in_a_pause_delays_the_end_by_itself_only(machine):
    edges = play(machine, 0.9, 0.9, *[0.0] * (END_WINDOWS - 1), 0.9, 0.0)
    assert edges[-1] == (2 + END_WINDOWS + 1, Transition.ENDED)


def test_doubtful_windows_neither_begin_a_silence_nor_break_one(machine):
    assert play(machine, 0.9, 0.9, *[0.4] * 50) == [(2, Transition.STARTED)]
    edges = play(machine, 0.0, *[0.4] * (END_WINDOWS - 1))
    assert [edge for _, edge in edges] == [Transition.HESITATED, Transition.PAUSED, Transition.ENDED]


def test_one_silence_for_phrase_and_turn_ends_the_turn_at_once():
    machine = TurnStateMachine(END_WINDOWS * WINDOW_SAMPLES, END_WINDOWS * WINDOW_SAMPLES)
    assert play(machine, 0.9, 0.9, *[0.0] * END_WINDOWS) == [
        (2, Transition.STARTED),
        (2 + HESITATION_WINDOWS, Transition.HESITATED),
        (2 + END_WINDOWS, Transition.ENDED),
    ]


def test_a_silence_no_longer_than_a_hesitation_ends_the_turn_at_once():
    machine = TurnStateMachine(WINDOW_SAMPLES, WINDOW_SAMPLES)
    assert play(machine, 0.9, 0.9, 0.0) == [(2, Transition.STARTED), (3, Transition.ENDED)]


def test_a_speaker_who_only_hesitates_does_not_pause(machine):
    short = [0.0] * HESITATION_WINDOWS
    edges = play(machine, 0.9, 0.9, *short, 0.9, *short, 0.9, 0.4, 0.9)
    assert edges == [(2, Transition.STARTED), (3, Transition.HESITATED), (5, Transition.HESITATED)]
    assert machine.in_phrase


def test_a_silence_has_one_hesitation_whatever_the_doubtful_windows_in_it(machine):
    edges = play(machine, 0.9, 0.9, 0.0, *[0.4] * (END_WINDOWS - 1))
    assert [edge for _, edge in edges].count(Transition.HESITATED) == 1


def test_speech_after_a_forced_end_is_a_new_turn(machine):
    play(machine, *[0.9] * 10)
    machine.end()
    assert not machine.in_turn
    assert play(machine, 0.9, 0.9) == [(12, Transition.STARTED)]
    assert machine.speech_start == 10 * WINDOW_SAMPLES
