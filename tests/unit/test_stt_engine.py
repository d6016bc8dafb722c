"""The engine: its pool, its limits, and decoders that die."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import asynccontextmanager

import numpy as np
import psutil
import pytest

from oviya.errors import Busy, Timeout, Unavailable
from services.stt.endpointing import EndSilence
from services.stt.engine import EngineLimits, SttEngine
from services.stt.events import EndReason, Final, TurnEnded
from services.stt.session import TurnLimits
from services.stt.sphinx import SphinxRecognizer
from tests.speech import silence, speak, word_errors

TURNS = TurnLimits(0.25, EndSilence(0.35, 0.9, 1.5), max_turn_s=60.0)
THANKS = "thank you very much"
SENTENCE = np.concatenate((silence(0.3), speak(THANKS), silence(1.2)))


@asynccontextmanager
async def running(sessions=1, warm=1, max_session_s=600.0, make_recognizer=SphinxRecognizer):
    engine = SttEngine(TURNS, EngineLimits(sessions, warm, max_session_s), make_recognizer)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def decoders() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "services.stt.sphinx_worker" in child.cmdline()]


async def hear(session, sound) -> list:
    return [event async for event in session.push(sound)] + await session.finish()


async def transcribe(session, sound) -> list:
    await session.begin()
    return await hear(session, sound)


def text_of(events) -> str:
    return " ".join(event.text for event in events if isinstance(event, Final))


async def test_sessions_beyond_the_limit_are_turned_away_and_room_is_given_back():
    async with running(sessions=1) as engine:
        with engine.session(16_000) as session:
            with pytest.raises(Busy, match="1 sessions") as refusal, engine.session(16_000):
                pass
            assert refusal.value.retry_after_s > 0
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


async def test_decoders_beyond_the_warm_ones_come_and_go_with_their_session():
    async with running(sessions=2, warm=1) as engine:
        assert len(decoders()) == 1
        with engine.session(16_000) as first, engine.session(16_000) as second:
            heard = await asyncio.gather(transcribe(first, SENTENCE), transcribe(second, SENTENCE))
            assert [word_errors(text_of(events), THANKS) <= 1 for events in heard] == [True, True]
            assert len(decoders()) == 2
        with engine.session(16_000) as first, engine.session(16_000) as second:
            await second.begin()  # queues up behind the end of the second slot's last decoder
            assert len(decoders()) == 2
    assert decoders() == []


async def test_a_session_that_is_too_long_gets_its_last_words_and_a_timeout():
    events = []

    async def push(session):
        async for event in session.push(SENTENCE):
            events.append(event)

    async with running(max_session_s=2.0) as engine:
        with engine.session(16_000) as session:
            await session.begin()
            with pytest.raises(Timeout, match="2 s"):
                await push(session)
        assert isinstance(events[-1], TurnEnded)
        assert events[-1].reason is EndReason.MAX_LENGTH
        assert text_of(events)
        with engine.session(16_000) as session:
            await session.begin()


async def test_a_session_that_sends_no_sound_is_too_long_by_the_clock():
    async def end_turns(session):
        while True:
            assert [event async for event in session.end_turn()] == []

    async with running(max_session_s=0.05) as engine:
        with engine.session(16_000) as session:
            await session.begin()
            with pytest.raises(Timeout):
                await end_turns(session)


async def test_a_decoder_that_dies_costs_one_session():
    async with running() as engine:
        with engine.session(16_000) as session:
            [decoder] = decoders()
            await session.begin()
            decoder.kill()
            with pytest.raises(Unavailable, match="decoder"):
                await hear(session, SENTENCE)
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


async def test_a_decoder_that_hangs_is_replaced(monkeypatch):
    async with running() as engine:
        [decoder] = decoders()
        os.kill(decoder.pid, signal.SIGSTOP)
        monkeypatch.setattr("services.stt.sphinx.REPLY_TIMEOUT_S", 0.1)
        with engine.session(16_000) as session, pytest.raises(Unavailable, match="not answered"):
            await session.begin()
        monkeypatch.setattr("services.stt.sphinx.REPLY_TIMEOUT_S", 30.0)
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


async def test_a_cancelled_session_leaves_its_slot_at_once():
    class SlowRecognizer(SphinxRecognizer):
        """Waits in the middle of a phrase until the test lets it go; not while the engine warms up."""

        warm, entered, leave = threading.Event(), threading.Event(), threading.Event()

        def partial(self):
            if self.warm.is_set():
                self.entered.set()
                self.leave.wait()
            return super().partial()

    async with running(make_recognizer=SlowRecognizer) as engine:
        SlowRecognizer.warm.set()

        async def hold():
            with engine.session(16_000) as session:
                await transcribe(session, SENTENCE)

        holding = asyncio.create_task(hold())
        await asyncio.to_thread(SlowRecognizer.entered.wait)
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        with engine.session(16_000) as session:  # no Busy, though the thread is still at work
            SlowRecognizer.leave.set()
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


async def test_the_engine_says_what_it_has_loaded():
    async with running() as engine:
        assert engine.info.backend == "pocketsphinx"
        assert engine.info.languages == ("en-US",)
