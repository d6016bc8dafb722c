"""What the buffer keeps of a turn's sound."""

from __future__ import annotations

import time

import pytest

from services.gateway.turn.replay_buffer import ReplayBuffer

RATE_HZ = 1000


@pytest.fixture
def buffer() -> ReplayBuffer:
    buffer = ReplayBuffer(2, RATE_HZ, limit_s=10.0)
    for number in range(10):  # 10 chunks of 0.2 s
        buffer.add_sound(bytes([number, 0]) * 200, arrived=float(number))
        buffer.next_unsent()
    return buffer


def test_the_sound_between_two_positions_is_found(buffer):
    found = buffer.between(0.3, 0.9)
    assert found == bytes([1, 0]) * 100 + bytes([2, 0]) * 200 + bytes([3, 0]) * 200 + bytes([4, 0]) * 100
    assert buffer.between(0.0, 2.0) == b"".join(bytes([number, 0]) * 200 for number in range(10))


def test_what_is_gone_or_never_came_is_left_out(buffer):
    buffer.forget_sent(0.4)
    buffer.add_mark()
    assert buffer.between(0.0, 0.5) == bytes([2, 0]) * 100
    assert buffer.between(1.9, 9.0) == bytes([9, 0]) * 100
    assert buffer.between(0.5, 0.5) == b""
    assert buffer.between(0.9, 0.3) == b""
    for start_s in (0.0, 0.3, 1.9, 9.0):
        assert buffer.since(start_s) == buffer.between(start_s, 100.0)


def chunks_of(buffer: ReplayBuffer, **how):
    return list(iter(lambda: buffer.next_unsent(**how), None))


def marks_of(buffer):
    """How many marks are sent to a new stream."""
    buffer.rewind()
    return sum(chunk.data is None for chunk in chunks_of(buffer))


def test_marks_without_sound_between_them_are_one():
    buffer = ReplayBuffer(2, RATE_HZ, limit_s=10.0)
    for _ in range(100_000):
        buffer.add_mark()
        chunks_of(buffer)
        buffer.forget_older_than(3.0)
    assert marks_of(buffer) <= 1
    buffer.add_sound(bytes(2 * RATE_HZ), arrived=0.0)
    buffer.add_mark()
    assert [chunk.data is None for chunk in chunks_of(buffer)] == [False, True]


@pytest.mark.parametrize("sent_at_once", [True, False])
def test_a_mark_after_every_sample_keeps_few_marks_and_the_last_one_counts(sent_at_once):
    buffer = ReplayBuffer(2, RATE_HZ, limit_s=10.0)
    sent = []
    for _ in range(100_000):
        buffer.add_sound(b"\1\0", arrived=0.0)
        buffer.add_mark()
        if sent_at_once:
            sent += chunks_of(buffer)
    sent += chunks_of(buffer)
    assert marks_of(buffer) <= 10.0 / 0.1 + 1
    assert sent[-1].data is None
    assert sent[-1].start == 100_000


def test_marks_are_sent_again_where_they_were():
    buffer = ReplayBuffer(2, RATE_HZ, limit_s=10.0)
    for _ in range(3):
        buffer.add_sound(bytes(2 * RATE_HZ), arrived=0.0)
        buffer.add_mark()
    first = chunks_of(buffer)
    buffer.rewind()
    assert chunks_of(buffer) == first
    buffer.forget_sent(1.0)  # the first mark ended what is gone
    buffer.rewind()
    assert chunks_of(buffer) == first[2:]
    buffer.forget_sent(10.0)
    assert marks_of(buffer) == 0
    buffer.rewind()
    assert chunks_of(buffer) == []


def test_a_hundred_thousand_single_samples_are_kept_as_cheaply_as_one_piece():
    """Each was a chunk of its own: one look at the sound took seconds.  The limit is a hundred times what it takes."""
    buffer = ReplayBuffer(2, 16_000, limit_s=10.0)
    expected = bytearray()
    for number in range(100_000):
        sample = number.to_bytes(4, "little")[:2]
        expected += sample
        buffer.add_sound(sample, arrived=number / 16_000)
        buffer.next_unsent()
    started = time.perf_counter()
    for number in range(1000):
        assert buffer.between(number / 1000, number / 1000 + 0.01) == expected[number * 32 : number * 32 + 320]
        assert buffer.time_of(number / 1000) == pytest.approx(number / 1000, abs=0.011)
    assert buffer.between(0.0, 100.0) == expected
    assert time.perf_counter() - started < 2.0
    buffer.rewind()
    assert len(chunks_of(buffer, flush=True)) == 7  # 6.25 s


def test_single_samples_are_sent_together_and_the_rest_with_a_mark_or_at_the_end():
    buffer = ReplayBuffer(2, RATE_HZ, limit_s=10.0)
    for _ in range(9):
        buffer.add_sound(b"\1\0", arrived=0.0)
        assert buffer.next_unsent() is None  # less than 10 ms
    buffer.add_sound(b"\1\0", arrived=0.0)
    assert [chunk.data for chunk in chunks_of(buffer)] == [b"\1\0" * 10]
    buffer.add_sound(b"\2\0", arrived=0.0)
    assert chunks_of(buffer) == []
    assert buffer.has_unsent
    buffer.add_mark()
    assert [chunk.data for chunk in chunks_of(buffer)] == [b"\2\0", None]
    buffer.add_sound(b"\3\0", arrived=0.0)
    assert [chunk.data for chunk in chunks_of(buffer, flush=True)] == [b"\3\0"]


def test_what_does_not_fit_is_dropped_to_the_sample():
    buffer = ReplayBuffer(2, RATE_HZ, limit_s=1.0)
    for number in range(1_500):
        lost_s = buffer.add_sound(number.to_bytes(2, "little"), arrived=0.0)
        assert lost_s == (0.0 if number < 1000 else pytest.approx(0.001))
    assert buffer.rewind() == 0.5
    sent = b"".join(chunk.data or b"" for chunk in chunks_of(buffer, flush=True))
    assert sent == b"".join(number.to_bytes(2, "little") for number in range(500, 1_500))


def new_buffer(limit_s: float = 10.0) -> ReplayBuffer:
    return ReplayBuffer(2, RATE_HZ, limit_s)


def sound(seconds: float, value: int = 1) -> bytes:
    return bytes([value]) * 2 * round(seconds * RATE_HZ)


def drain(buffer: ReplayBuffer) -> list[bytes | None]:
    chunks = iter(buffer.next_unsent, None)
    return [None if chunk.data is None else bytes(chunk.data) for chunk in chunks]


def test_buffer_sends_everything_once_in_order_and_merges_small_chunks():
    kept = new_buffer()
    for value in range(10):
        kept.add_sound(sound(0.02, value), 0.0)
    kept.add_mark()
    kept.add_sound(sound(0.02, 99), 0.0)
    sent = drain(kept)
    assert sent[-2:] == [None, sound(0.02, 99)]
    assert b"".join(chunk for chunk in sent if chunk) == b"".join(sound(0.02, v) for v in [*range(10), 99])
    assert len(sent) < 6
    assert not kept.has_unsent


def test_buffer_starts_again_with_what_is_kept():
    kept = new_buffer()
    for value in range(5):
        kept.add_sound(sound(1.0, value), float(value))
    assert drain(kept) == [sound(1.0, value) for value in range(5)]
    kept.forget_sent(2.0)
    assert kept.rewind() == 2.0
    assert drain(kept) == [sound(1.0, value) for value in (2, 3, 4)]
    kept.forget_older_than(1.0)
    assert kept.rewind() == 4.0
    kept.clear()
    assert kept.rewind() == 5.0


def test_buffer_keeps_what_was_not_sent():
    kept = new_buffer()
    kept.add_sound(sound(1.0), 0.0)
    kept.forget_sent(5.0)
    assert drain(kept) == [sound(1.0)]


def test_buffer_drops_the_oldest_and_tells_what_nobody_got():
    kept = new_buffer(limit_s=3.0)
    assert [kept.add_sound(sound(1.0, value), 0.0) for value in range(5)] == [0, 0, 0, 1.0, 1.0]
    assert kept.rewind() == 2.0
    drain(kept)
    assert kept.add_sound(sound(1.0), 0.0) == 0.0  # what is dropped was sent


def test_buffer_knows_when_sound_came():
    kept = new_buffer()
    with pytest.raises(LookupError):
        kept.time_of(0.0)
    kept.add_sound(sound(0.5), 10.0)
    kept.add_sound(sound(0.5), 20.0)
    for _ in range(5):
        kept.add_sound(sound(0.001), 30.0)
    assert [kept.time_of(position) for position in (0.0, 0.3, 0.5, 0.6, 1.0)] == [10.0, 10.0, 10.0, 20.0, 20.0]
    kept.add_sound(sound(0.5), 40.0)
    assert kept.time_of(1.2) == 40.0
    assert kept.time_of(99.0) == 40.0
