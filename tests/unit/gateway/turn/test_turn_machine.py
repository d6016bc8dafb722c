"""The states of a conversation, in virtual time: each test says when something happens and what is done about it."""

from __future__ import annotations

import itertools

import pytest

from oviya.v1 import conversation_pb2 as pb
from services.gateway.turn.overlap import Overlap, Words
from services.gateway.turn.turn_machine import (
    MAX_FALSE_ALARMS,
    WORDS_AFTER_SILENCE_S,
    WORDS_AFTER_START_S,
    Action,
    Answer,
    Drop,
    Pause,
    Resume,
    Stop,
    TurnMachine,
    TurnState,
)

LISTENING, THINKING = TurnState.LISTENING, TurnState.THINKING
SPEAKING, INTERRUPTED = TurnState.SPEAKING, TurnState.INTERRUPTED
MEANINGS = {
    "": Overlap.NO_WORDS,
    "mm-hm": Overlap.BACKCHANNEL,
    "stop": Overlap.STOP,
    "echo": Overlap.ECHO,
}
STOPPED = Stop(pb.INTERRUPT_REASON_SPEECH)


def new_machine(*, asks: bool = False) -> TurnMachine:
    return TurnMachine(lambda words: MEANINGS.get(words.text, Overlap.SPEECH), lambda: asks)


def speaking(*, asks: bool = False) -> TurnMachine:
    machine = new_machine(asks=asks)
    machine.reply_began()
    machine.reply_audible()
    return machine


def test_a_turn_without_interruption():
    machine = new_machine()
    assert machine.state is LISTENING
    assert machine.speech_started(0, 0.0) == []
    assert machine.words(Words("hello")) == []
    assert machine.speech_stopped(1.0) == []
    assert machine.speech_ended(0, Words("hello")) == [Answer(0)]
    assert machine.state is LISTENING
    assert machine.reply_began() == []
    assert machine.state is THINKING
    machine.reply_audible()
    assert machine.state is SPEAKING
    machine.reply_over()
    assert (machine.state, machine.deadline) == (LISTENING, None)


@pytest.mark.parametrize("said", ["", "mm-hm", "stop", "what time is it"])
def test_nothing_said_while_nobody_speaks_is_an_overlap(said):
    machine = new_machine()
    machine.speech_started(0, 0.0)
    assert machine.speech_ended(0, Words(said)) == [Answer(0)]


def test_words_over_a_reply_pause_it_at_once_and_then_stop_it():
    machine = speaking()
    assert machine.speech_started(1, 5.0) == [Pause()]
    assert machine.state is INTERRUPTED
    assert machine.words(Words("")) == []
    assert machine.words(Words("what time")) == [STOPPED]
    assert machine.state is LISTENING
    assert machine.words(Words("what time is")) == []
    assert machine.speech_ended(1, Words("what time is it")) == [Answer(1)]


def test_words_that_are_known_only_at_the_end_stop_the_reply_and_are_answered():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.speech_ended(1, Words("why")) == [STOPPED, Answer(1)]
    assert machine.state is LISTENING


def test_words_that_stopped_the_reply_are_answered_even_where_the_final_transcript_doubts_them():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.words(Words("what time")) == [STOPPED]
    assert machine.speech_ended(1, Words("")) == [Answer(1)]


def test_a_stop_phrase_stops_the_reply_and_is_not_answered():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.words(Words("stop")) == [Stop(pb.INTERRUPT_REASON_STOP_PHRASE)]
    assert machine.speech_ended(1, Words("stop")) == [Drop(1, pb.DROP_REASON_STOP_PHRASE)]


def test_a_stop_phrase_with_other_words_after_it_is_answered():
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.words(Words("stop"))
    assert machine.speech_ended(1, Words("stop and tell me the time")) == [Answer(1)]


def test_after_a_backchannel_the_reply_goes_on_as_soon_as_the_user_is_silent():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.words(Words("mm-hm")) == []  # more words may follow
    assert machine.speech_stopped(5.5) == [Resume()]
    assert machine.state is SPEAKING
    assert machine.speech_ended(1, Words("mm-hm")) == [Drop(1, pb.DROP_REASON_BACKCHANNEL)]


def test_a_backchannel_whose_words_come_in_the_silence_lets_the_reply_go_on_then():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.speech_stopped(5.5) == []
    assert machine.words(Words("mm-hm")) == [Resume()]


def test_a_cough_lets_the_reply_go_on_when_no_words_have_come():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.speech_stopped(5.5) == []
    assert machine.deadline == pytest.approx(5.5 + WORDS_AFTER_SILENCE_S)
    assert machine.on_time(5.6) == []
    assert machine.on_time(5.5 + WORDS_AFTER_SILENCE_S) == [Resume()]
    assert (machine.state, machine.deadline) == (SPEAKING, None)
    assert machine.speech_ended(1, Words("")) == [Drop(1, pb.DROP_REASON_NO_WORDS)]


def test_words_that_come_after_the_reply_went_on_still_stop_it():
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.speech_stopped(5.5)
    machine.on_time(6.0)
    assert machine.speech_ended(1, Words("why")) == [STOPPED, Answer(1)]


def test_noise_without_end_lets_the_reply_go_on():
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.words(Words(""))
    assert machine.deadline == pytest.approx(5.0 + WORDS_AFTER_START_S)
    assert machine.on_time(5.0 + WORDS_AFTER_START_S) == [Resume()]
    assert machine.words(Words("")) == []


def test_a_user_who_goes_on_after_a_backchannel_pauses_the_reply_again():
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.words(Words("mm-hm"))
    machine.speech_stopped(5.5)
    assert machine.speech_resumed(6.0) == [Pause()]
    assert machine.words(Words("mm-hm but why")) == [STOPPED]


def test_an_echo_lets_the_reply_go_on_once_it_is_silent():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.words(Words("echo")) == []  # one word alone may be in the reply by chance
    assert machine.speech_stopped(5.4) == [Resume()]
    assert machine.speech_ended(1, Words("echo")) == [Drop(1, pb.DROP_REASON_ECHO)]


def test_words_that_begin_as_the_reply_does_stop_it():
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.words(Words("echo"))
    assert machine.words(Words("echo is not what I said")) == [STOPPED]


def test_after_false_alarms_only_words_change_the_reply():
    machine = speaking()
    for turn in range(1, MAX_FALSE_ALARMS + 1):
        assert machine.speech_started(turn, 5.0 * turn) == [Pause()]
        assert machine.speech_ended(turn, Words("")) == [Resume(), Drop(turn, pb.DROP_REASON_NO_WORDS)]
    assert machine.speech_started(9, 50.0) == []
    assert machine.state is SPEAKING
    assert machine.words(Words("what")) == [STOPPED]
    assert machine.speech_ended(9, Words("what")) == [Answer(9)]
    assert machine.reply_began() == []  # the next reply starts without false alarms
    assert machine.speech_started(10, 61.0) == [Pause()]


def test_backchannels_are_no_false_alarms():
    machine = speaking()
    for turn in range(1, MAX_FALSE_ALARMS + 3):
        assert machine.speech_started(turn, 5.0 * turn) == [Pause()]
        assert machine.speech_ended(turn, Words("mm-hm")) == [Resume(), Drop(turn, pb.DROP_REASON_BACKCHANNEL)]


def test_yes_to_a_question_is_an_answer():
    machine = speaking(asks=True)
    assert machine.speech_started(1, 5.0) == [Pause()]
    assert machine.speech_ended(1, Words("mm-hm")) == [STOPPED, Answer(1)]


def test_a_user_who_goes_on_before_the_reply_is_heard_takes_it_back():
    machine = new_machine()
    machine.reply_began()
    assert machine.speech_started(1, 0.2) == [Pause()]
    assert machine.state is INTERRUPTED
    assert machine.words(Words("and another thing")) == [STOPPED]
    assert machine.speech_ended(1, Words("and another thing")) == [Answer(1)]


def test_a_noise_before_the_reply_is_heard_only_delays_it():
    machine = new_machine()
    machine.reply_began()
    machine.speech_started(1, 0.2)
    assert machine.speech_ended(1, Words("")) == [Resume(), Drop(1, pb.DROP_REASON_NO_WORDS)]
    assert machine.state is THINKING


def test_a_reply_to_a_typed_turn_waits_while_the_user_speaks_and_both_are_answered():
    machine = new_machine()
    machine.speech_started(1, 0.0)
    assert machine.reply_began() == [Pause()]
    assert machine.words(Words("listen")) == []
    assert machine.speech_ended(1, Words("listen")) == [Resume(), Answer(1)]


def test_a_reply_does_not_wait_for_a_user_who_is_silent():
    machine = new_machine()
    machine.speech_started(1, 0.0)
    machine.speech_stopped(0.4)
    assert machine.reply_began() == []
    assert machine.speech_ended(1, Words("listen")) == [Answer(1)]


def test_a_reply_that_ends_before_the_users_words_are_known_is_not_touched():
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.speech_stopped(5.2)
    machine.on_time(9.0)
    machine.reply_over()
    assert machine.words(Words("what time")) == []
    assert machine.speech_ended(1, Words("what time is it")) == [Answer(1)]
    machine = speaking()
    machine.speech_started(1, 5.0)
    machine.reply_over()
    assert machine.speech_ended(1, Words("mm-hm")) == [Drop(1, pb.DROP_REASON_BACKCHANNEL)]


@pytest.mark.parametrize("paused", [False, True])
def test_the_caller_can_stop_a_reply_and_only_a_reply(paused):
    machine = speaking()
    if paused:
        machine.speech_started(1, 5.0)
    assert machine.stop_requested() == [Stop(pb.INTERRUPT_REASON_REQUESTED)]
    assert machine.state is LISTENING
    assert machine.stop_requested() == []


def test_a_turn_that_fails_lets_the_reply_go_on():
    machine = speaking()
    machine.speech_started(1, 5.0)
    assert machine.speech_failed() == [Resume()]
    assert machine.speech_stopped(6.0) == []
    assert machine.speech_resumed(6.0) == []
    assert machine.on_time(99.0) == []


def test_every_state_is_left_by_what_ends_it():
    """Whatever comes in whatever order, actions fit the state: only a paused reply resumes, only a reply stops."""
    events = {
        "began": lambda machine: machine.reply_began(),
        "audible": lambda machine: machine.reply_audible() or [],
        "over": lambda machine: machine.reply_over() or [],
        "started": lambda machine: machine.speech_started(1, 0.0),
        "stopped": lambda machine: machine.speech_stopped(0.0),
        "resumed": lambda machine: machine.speech_resumed(0.0),
        "noise": lambda machine: machine.words(Words("")),
        "words": lambda machine: machine.words(Words("words")),
        "ended": lambda machine: machine.speech_ended(1, Words("mm-hm")),
        "time": lambda machine: machine.on_time(99.0),
        "stop": lambda machine: machine.stop_requested(),
    }
    for sequence in itertools.product(events, repeat=4):
        machine, replying, paused = new_machine(), False, False
        for name in sequence:
            if name in ("began", "over"):
                replying, paused = name == "began", False
            actions: list[Action] = events[name](machine)
            for action in actions:
                match action:
                    case Pause():
                        assert replying, sequence
                        assert not paused, sequence
                        paused = True
                    case Resume():
                        assert paused, sequence
                        paused = False
                    case Stop():
                        assert replying, sequence
                        replying = paused = False
                    case Answer() | Drop():
                        assert name == "ended", sequence
            assert (machine.state is INTERRUPTED) is paused, sequence
            assert (machine.state is LISTENING) is not replying, sequence


def test_a_reply_waits_as_long_as_the_user_speaks_words():
    machine = new_machine()
    machine.speech_started(1, 0.0)
    machine.words(Words("I would like"))
    machine.reply_began()
    assert machine.deadline is None
    assert machine.on_time(10.0) == []
    machine.speech_stopped(10.0)
    assert machine.on_time(10.0 + WORDS_AFTER_SILENCE_S) == [Resume()]


def test_a_reply_does_not_wait_for_noise_without_end():
    machine = new_machine()
    machine.speech_started(1, 0.0)
    machine.reply_began()
    machine.words(Words(""))
    assert machine.on_time(WORDS_AFTER_START_S) == [Resume()]


@pytest.mark.parametrize(("said", "then"), [("what time", Answer(1)), ("stop", Drop(1, pb.DROP_REASON_STOP_PHRASE))])
def test_words_that_stopped_a_reply_do_not_stop_the_next_one_which_waits(said, then):
    machine = speaking()
    machine.speech_started(1, 0.0)
    assert isinstance(machine.words(Words(said))[0], Stop)
    assert machine.reply_began() == [Pause()]  # a typed turn had waited
    assert machine.words(Words(said)) == []
    assert machine.deadline is None
    assert machine.speech_ended(1, Words(said)) == [Resume(), then]
