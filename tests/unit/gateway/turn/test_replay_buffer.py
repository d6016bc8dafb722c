"""What the tape keeps of a turn's sound."""

from __future__ import annotations

import time

import pytest

from services.gateway.turn.replay_buffer import Tape

RATE_HZ = 1000


@pytest.fixture
def tape() -> Tape:
    tape = Tape(2, RATE_HZ, limit_s=10.0)
    for number in range(10):  # 10 pieces of 0.2 s
        tape.add_sound(bytes([number, 0]) * 200, arrived=float(number))
        tape.next_unsent()
    return tape


def test_the_sound_between_two_positions_is_found(tape):
    found = tape.between(0.3, 0.9)
    assert found == bytes([1, 0]) * 100 + bytes([2, 0]) * 200 + bytes([3, 0]) * 200 + bytes([4, 0]) * 100
    assert tape.between(0.0, 2.0) == b"".join(bytes([number, 0]) * 200 for number in range(10))


def test_what_is_gone_or_never_came_is_left_out(tape):
    tape.forget_sent(0.4)
    tape.add_mark()
    assert tape.between(0.0, 0.5) == bytes([2, 0]) * 100
    assert tape.between(1.9, 9.0) == bytes([9, 0]) * 100
    assert tape.between(0.5, 0.5) == b""
    assert tape.between(0.9, 0.3) == b""


def pieces_of(tape: Tape, **how):
    return list(iter(lambda: tape.next_unsent(**how), None))


def test_marks_without_sound_between_them_are_one():
    tape = Tape(2, RATE_HZ, limit_s=10.0)
    for _ in range(100_000):
        tape.add_mark()
        pieces_of(tape)
        tape.forget_older_than(3.0)
    assert tape.marks <= 1
    tape.add_sound(bytes(2 * RATE_HZ), arrived=0.0)
    tape.add_mark()
    assert [piece.data is None for piece in pieces_of(tape)] == [False, True]


@pytest.mark.parametrize("sent_at_once", [True, False])
def test_a_mark_after_every_sample_keeps_few_marks_and_the_last_one_counts(sent_at_once):
    tape = Tape(2, RATE_HZ, limit_s=10.0)
    sent = []
    for _ in range(100_000):
        tape.add_sound(b"\1\0", arrived=0.0)
        tape.add_mark()
        if sent_at_once:
            sent += pieces_of(tape)
    sent += pieces_of(tape)
    assert tape.marks <= 10.0 / 0.1 + 1
    assert sent[-1].data is None
    assert sent[-1].start == 100_000


def test_marks_are_sent_again_where_they_were():
    tape = Tape(2, RATE_HZ, limit_s=10.0)
    for _ in range(3):
        tape.add_sound(bytes(2 * RATE_HZ), arrived=0.0)
        tape.add_mark()
    first = pieces_of(tape)
    tape.rewind()
    assert pieces_of(tape) == first
    tape.forget_sent(1.0)  # the first mark ended what is gone
    tape.rewind()
    assert pieces_of(tape) == first[2:]
    tape.forget_sent(10.0)
    assert tape.marks == 0
    tape.rewind()
    assert pieces_of(tape) == []


def test_a_hundred_thousand_single_samples_are_kept_as_cheaply_as_one_piece():
    """Each was a piece of its own: one look at the sound took seconds.  The limit is a hundred times what it takes."""
    tape = Tape(2, 16_000, limit_s=10.0)
    expected = bytearray()
    for number in range(100_000):
        sample = number.to_bytes(4, "little")[:2]
        expected += sample
        tape.add_sound(sample, arrived=number / 16_000)
        tape.next_unsent()
    started = time.perf_counter()
    for number in range(1000):
        assert tape.between(number / 1000, number / 1000 + 0.01) == expected[number * 32 : number * 32 + 320]
        assert tape.time_of(number / 1000) == pytest.approx(number / 1000, abs=0.011)
    assert tape.between(0.0, 100.0) == expected
    assert time.perf_counter() - started < 2.0
    tape.rewind()
    assert len(pieces_of(tape, flush=True)) == 7  # 6.25 s


def test_single_samples_are_sent_together_and_the_rest_with_a_mark_or_at_the_end():
    tape = Tape(2, RATE_HZ, limit_s=10.0)
    for _ in range(9):
        tape.add_sound(b"\1\0", arrived=0.0)
        assert tape.next_unsent() is None  # less than 10 ms
    tape.add_sound(b"\1\0", arrived=0.0)
    assert [piece.data for piece in pieces_of(tape)] == [b"\1\0" * 10]
    tape.add_sound(b"\2\0", arrived=0.0)
    assert pieces_of(tape) == []
    assert tape.has_unsent
    tape.add_mark()
    assert [piece.data for piece in pieces_of(tape)] == [b"\2\0", None]
    tape.add_sound(b"\3\0", arrived=0.0)
    assert [piece.data for piece in pieces_of(tape, flush=True)] == [b"\3\0"]


def test_what_does_not_fit_is_dropped_to_the_sample():
    tape = Tape(2, RATE_HZ, limit_s=1.0)
    for number in range(1_500):
        lost_s = tape.add_sound(number.to_bytes(2, "little"), arrived=0.0)
        assert lost_s == (0.0 if number < 1000 else pytest.approx(0.001))
    assert tape.rewind() == 0.5
    sent = b"".join(piece.data or b"" for piece in pieces_of(tape, flush=True))
    assert sent == b"".join(number.to_bytes(2, "little") for number in range(500, 1_500))
