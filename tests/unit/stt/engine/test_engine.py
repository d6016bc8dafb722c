"""The engine: its sessions and their limits."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import Busy, Timeout
from services.stt.engine.events import EndReason, TurnEnded
from tests.support.speech import silence, word_errors
from tests.support.stt_engine import (
    SENTENCE,
    SPOKEN,
    THANKS,
    count_only_sound,
    push,
    push_and_finish,
    running,
    text_of,
    transcribe,
)


async def test_sessions_beyond_the_limit_are_rejected_and_places_become_free_again():
    async with running(sessions=1) as engine:
        with engine.session(16_000) as session:
            with pytest.raises(Busy, match="1 sessions") as refusal, engine.session(16_000):
                pass
            assert refusal.value.retry_after_s > 0
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


async def test_a_session_that_is_too_long_gets_its_last_words_and_a_timeout(monkeypatch):
    count_only_sound(monkeypatch)
    events = []

    async def push(session):
        async for event in session.push(SENTENCE):
            events.append(event)

    async with running(max_session_s=2.0) as engine:
        with engine.session(16_000) as session:
            await session.open()
            with pytest.raises(Timeout, match="2 s"):
                await push(session)
        assert isinstance(events[-1], TurnEnded)
        assert events[-1].reason is EndReason.MAX_LENGTH
        assert text_of(events)
        with engine.session(16_000) as session:
            await session.open()


async def test_a_session_that_sends_no_sound_is_too_long_by_the_clock():
    async def end_turns(session):
        while True:
            assert [event async for event in session.end_turn()] == []

    async with running(max_session_s=0.05) as engine:
        with engine.session(16_000) as session:
            await session.open()
            with pytest.raises(Timeout):
                await end_turns(session)


async def test_a_stream_in_which_nobody_speaks_ends_by_the_clock():
    async with running(idle_s=0.3) as engine:
        with engine.session(16_000) as session:
            await session.open()

            async def stay_silent():
                while True:
                    assert await push(session, silence(0.02)) == []
                    assert [event async for event in session.end_turn()] == []
                    await asyncio.sleep(0.01)

            with pytest.raises(Timeout, match="nobody has spoken"):
                await stay_silent()


async def test_a_recording_with_a_long_silence_is_heard_to_its_end():
    """Two minutes of silence that are pushed in no time do not count as idle time."""
    async with running(idle_s=60.0) as engine:
        with engine.session(16_000) as session:
            await session.open()
            for _ in range(60):
                assert await push(session, silence(2.0)) == []
            assert word_errors(text_of(await push_and_finish(session, SENTENCE)), THANKS) <= 1


async def test_a_turn_whose_sound_stops_coming_ends():
    async with running(turn_stall_s=1.0) as engine:
        with engine.session(16_000) as stalled, engine.session(16_000) as other:
            await stalled.open()
            events = await push(stalled, SENTENCE[:SPOKEN])
            assert stalled.in_turn
            for _ in range(9):  # a single sample now and then does not help
                events += [event async for event in stalled.add_wait(0.11)]
                events += await push(stalled, silence(1 / 16_000))
            assert stalled.in_turn
            events += [event async for event in stalled.add_wait(0.11)]
            assert not stalled.in_turn
            assert word_errors(text_of(events), THANKS) <= 1
            assert word_errors(text_of(await transcribe(other, SENTENCE)), THANKS) <= 1


async def test_sound_that_comes_sample_by_sample_is_heard_alike():
    async with running() as engine:
        with engine.session(16_000) as session:
            at_once = await transcribe(session, SENTENCE)
        with engine.session(16_000) as session:
            await session.open()
            events = []
            for sample in range(len(SENTENCE)):
                events += await push(session, SENTENCE[sample : sample + 1])
            events += await session.finish()
    assert events == at_once


async def test_the_engine_says_what_it_has_loaded():
    async with running() as engine:
        assert engine.info.backend == "ctranslate2"
        assert engine.info.languages == ("en",)
        assert engine.info.aligner == "attention"
