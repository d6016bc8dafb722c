"""How sessions share the decoders."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from oviya.errors import Busy
from services.stt import metrics
from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.engine.events import SpeechStarted
from tests.support.speech import silence, speak, word_errors
from tests.support.stt_engine import (
    SENTENCE,
    SPOKEN,
    THANKS,
    TURNS,
    decoders,
    push,
    running,
    text_of,
    transcribe,
    value,
)


async def test_decoders_beyond_the_warm_ones_come_with_a_turn_and_go_when_they_are_not_needed():
    async with running(sessions=2, warm=1, spare_idle_s=0.0, check_every_s=0.05) as engine:
        assert len(decoders()) == 1
        with engine.session(16_000) as first, engine.session(16_000) as second:
            heard = await asyncio.gather(transcribe(first, SENTENCE), transcribe(second, SENTENCE))
            assert [word_errors(text_of(events), THANKS) <= 1 for events in heard] == [True, True]
        while len(decoders()) > 1:
            await asyncio.sleep(0.05)
        with engine.session(16_000) as first, engine.session(16_000) as second:
            heard = await asyncio.gather(transcribe(first, SENTENCE), transcribe(second, SENTENCE))
            assert [word_errors(text_of(events), THANKS) <= 1 for events in heard] == [True, True]
    assert decoders() == []


async def test_a_quiet_stream_holds_no_slot_and_a_turn_gives_its_slot_back():
    async with running(sessions=10, slots=1) as engine:
        with ExitStack() as stack:
            quiet = [stack.enter_context(engine.session(16_000)) for _ in range(8)]
            speaker, other = (stack.enter_context(engine.session(16_000)) for _ in range(2))
            for session in (*quiet, speaker, other):
                await session.open()
            for session in quiet:
                assert await push(session, silence(1.0)) == []
            for session in (speaker, other, speaker):  # none of them has ended
                events = await push(session, SENTENCE)
                assert word_errors(text_of(events), THANKS) <= 1


async def test_more_speakers_than_slots_wait_and_all_are_heard():
    waits = value(metrics.SLOT_WAIT_SECONDS, "_count")
    async with running(sessions=5, slots=1, slot_wait_s=120.0) as engine:
        with ExitStack() as stack:
            sessions = [stack.enter_context(engine.session(16_000)) for _ in range(5)]
            heard = await asyncio.gather(*(transcribe(session, SENTENCE) for session in sessions))
    assert [word_errors(text_of(events), THANKS) <= 1 for events in heard] == [True] * 5
    assert value(metrics.SLOT_WAIT_SECONDS, "_count") >= waits + 4


async def test_a_turn_that_gets_no_slot_in_time_is_rejected_and_disturbs_nobody():
    async with running(sessions=2, slots=1, slot_wait_s=0.2) as engine:
        with engine.session(16_000) as first, engine.session(16_000) as second:
            await first.open()
            await second.open()
            events = await push(first, SENTENCE[:SPOKEN])
            events_of_second = []

            async def push_second():
                async for event in second.push(SENTENCE):
                    events_of_second.append(event)

            with pytest.raises(Busy, match="1 decoders") as refusal:
                await push_second()
            assert [type(event) for event in events_of_second] == [SpeechStarted]  # at once, before the wait
            assert refusal.value.retry_after_s > 0
            events += await push(first, SENTENCE[SPOKEN:])
            assert word_errors(text_of(events), THANKS) <= 1
        with engine.session(16_000) as third:
            assert word_errors(text_of(await transcribe(third, SENTENCE)), THANKS) <= 1


async def test_a_caller_that_leaves_while_it_waits_or_speaks_frees_its_place():
    async with running(sessions=3, slots=1, slot_wait_s=60.0) as engine:
        with engine.session(16_000) as first:
            await first.open()
            await push(first, SENTENCE[:SPOKEN])  # holds the slot

            async def wait():
                with engine.session(16_000) as session:
                    await transcribe(session, SENTENCE)

            waiting = [asyncio.create_task(wait()) for _ in range(2)]
            while len(engine._pool._available._waiters or ()) < 2:
                await asyncio.sleep(0.01)
            waiting[0].cancel()
            await asyncio.wait(waiting[:1])
            assert len(engine._pool._available._waiters or ()) == 1
        await waiting[1]  # the first session ended in the middle of its turn
        assert len(engine._pool.free) == 1


async def test_a_speaker_who_never_pauses_lets_others_have_their_turn():
    """Its turns end at the longest length; a slot that is kept from one turn to the next would lock everybody out."""
    async with running(sessions=2, slots=1, slot_wait_s=60.0, turns=replace(TURNS, max_turn_s=2.0)) as engine:
        with engine.session(16_000) as endless, engine.session(16_000) as other:
            await endless.open()
            stop = asyncio.Event()

            async def go_on():
                while not stop.is_set():
                    await push(endless, speak("on and on and on and on and on"))

            talking = asyncio.create_task(go_on())
            await asyncio.sleep(0.1)
            events = await transcribe(other, SENTENCE)
            assert word_errors(text_of(events), THANKS) <= 1
            assert not talking.done()
            stop.set()
            await talking


async def test_a_second_turn_of_the_same_speaker_keeps_the_adaptation_of_the_decoder():
    begun = []

    class Noting(SphinxRecognizer):
        def begin_session(self, edge_hz, vocabulary=()):
            begun.append(self)
            super().begin_session(edge_hz, vocabulary)

    async with running(sessions=2, slots=2, warm=2, make_recognizer=Noting) as engine:
        with engine.session(16_000) as first, engine.session(16_000) as second:
            for session in (first, second):
                await session.open()
            begun.clear()
            for session in (first, second, first, second):
                assert text_of(await push(session, SENTENCE))
            assert len(begun) == len(set(begun)) == 2
        with engine.session(16_000) as third:
            await transcribe(third, SENTENCE)
            assert len(begun) == 3


async def test_a_cancelled_session_leaves_its_slot_at_once():
    class SlowRecognizer(SphinxRecognizer):
        """Blocks in the middle of a phrase until `leave` is set, but not during warm-up."""

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
        with engine.session(16_000) as session:  # admitted although the thread is still busy
            SlowRecognizer.leave.set()
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1
