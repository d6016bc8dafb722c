"""What a session keeps: sound on its way to speech-to-text, turns, earlier sentences, waiting events."""

from __future__ import annotations

import asyncio

import pytest

from oviya.durations import seconds
from oviya.errors import Busy, InvalidInput, OviyaError, Timeout
from oviya.v1 import common_pb2
from services.gateway.conversation.event_queue import EventQueue, events_of, first_failure
from services.gateway.turn.latency import latency
from services.gateway.turn.replay_buffer import Tape
from services.gateway.voice.speaker import Spoken
from services.gateway.voice.voice_context import VoiceContext

RATE_HZ = 1000


def tape(limit_s: float = 10.0) -> Tape:
    return Tape(2, RATE_HZ, limit_s)


def sound(seconds: float, value: int = 1) -> bytes:
    return bytes([value]) * 2 * round(seconds * RATE_HZ)


def drain(tape: Tape) -> list[bytes | None]:
    pieces = iter(tape.next_unsent, None)
    return [None if piece.data is None else bytes(piece.data) for piece in pieces]


def test_tape_sends_everything_once_in_order_and_merges_small_pieces():
    kept = tape()
    for value in range(10):
        kept.add_sound(sound(0.02, value), 0.0)
    kept.add_mark()
    kept.add_sound(sound(0.02, 99), 0.0)
    sent = drain(kept)
    assert sent[-2:] == [None, sound(0.02, 99)]
    assert b"".join(piece for piece in sent if piece) == b"".join(sound(0.02, v) for v in [*range(10), 99])
    assert len(sent) < 6
    assert not kept.has_unsent


def test_tape_starts_again_with_what_is_kept():
    kept = tape()
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


def test_tape_keeps_what_was_not_sent():
    kept = tape()
    kept.add_sound(sound(1.0), 0.0)
    kept.forget_sent(5.0)
    assert drain(kept) == [sound(1.0)]


def test_tape_drops_the_oldest_and_tells_what_nobody_got():
    kept = tape(limit_s=3.0)
    assert [kept.add_sound(sound(1.0, value), 0.0) for value in range(5)] == [0, 0, 0, 1.0, 1.0]
    assert kept.rewind() == 2.0
    drain(kept)
    assert kept.add_sound(sound(1.0), 0.0) == 0.0  # what is dropped was sent


def test_tape_knows_when_sound_came():
    kept = tape()
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


def test_voice_context_keeps_the_newest_sentences():
    context = VoiceContext(2)
    for text in ("a", "b", "c"):
        context.add(1, text, common_pb2.RvqFrames(codebooks=2, codes=[1, 2]))
    assert [segment.text for segment in context.segments()] == ["b", "c"]


def test_latency_counts_only_stages_that_were_reached():
    spoken = Spoken(first_sentence_at=10.5, first_audio_at=10.75)
    counted = latency(spoken, since=10.0, final_transcript=10.25)
    assert {stage.name: seconds(value) for stage, value in counted.ListFields()} == {
        "final_transcript": 0.25,
        "first_sentence": 0.5,
        "first_audio": 0.75,
    }
    assert seconds(latency(spoken, since=11.0).first_audio) == 0


async def test_events_come_before_the_failure():
    async def job(events: EventQueue[int]) -> None:
        await events.put(1)
        await events.put(2)
        raise Busy("full", retry_after_s=1)

    events = events_of(job, 1.0)
    assert [await anext(events), await anext(events)] == [1, 2]
    with pytest.raises(Busy):
        await anext(events)


async def test_job_of_a_reader_who_leaves_is_cancelled():
    cancelled = asyncio.Event()

    async def job(events: EventQueue[int]) -> None:
        await events.put(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    events = events_of(job, 1.0)
    assert await anext(events) == 1
    await events.aclose()
    assert cancelled.is_set()


async def test_queue_that_nobody_reads_fails_its_writer_and_then_at_once():
    events: EventQueue[int] = EventQueue(0.05, capacity=2)
    await events.put(1)
    await events.put(2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(Timeout):
        await events.put(3)
    assert loop.time() - started >= 0.05
    started = loop.time()
    with pytest.raises(Timeout):
        await events.put(3)
    assert loop.time() - started < 0.05


def test_typed_failures_are_found_in_groups():
    typed = InvalidInput("text", "", "must not be empty")
    group = BaseExceptionGroup("", [ValueError(), ExceptionGroup("", [KeyError(), typed])])
    assert first_failure(group) is typed
    assert isinstance(first_failure(ExceptionGroup("", [KeyError()])), KeyError)
    assert isinstance(typed, OviyaError)
