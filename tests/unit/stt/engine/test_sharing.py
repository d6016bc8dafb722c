"""Many sessions share one recognizer: nobody is disturbed by those who are slow, who leave, or whose decodes fail."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from oviya.errors import Busy, Unavailable
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.events import Partial, SpeechStarted, TurnEnded
from services.stt.engine.limits import EngineLimits
from tests.support.metrics import metric
from tests.support.speech import silence, word_errors
from tests.support.stt_engine import SENTENCE, SPOKEN, THANKS, push, push_and_finish, running, text_of, transcribe
from tests.support.stt_recognizers import WrappedRecognizer, whisper
from tests.support.stt_session import of
from tests.support.waiting import PATIENCE_S, until

FIRST, SECOND = ("first",), ("second",)
"""Vocabularies by which the tests tell sessions apart."""


class Gate:
    """Holds the final decodes of one session in the recognizer, until it is opened."""

    def __init__(self, vocabulary: tuple[str, ...] = FIRST) -> None:
        self._vocabulary = vocabulary
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request) -> None:
        if request.final and request.vocabulary == self._vocabulary:
            self.entered.set()
            assert self.opened.wait(PATIENCE_S)


async def hear(engine, sound=SENTENCE, vocabulary=()):
    with engine.session(16_000, vocabulary=vocabulary) as session:
        return await transcribe(session, sound)


async def test_many_speakers_share_the_model_and_are_all_heard():
    recognizer = WrappedRecognizer(whisper())
    async with running(recognizer) as engine:
        heard = await asyncio.gather(*(hear(engine) for _ in range(8)))
    assert [word_errors(text_of(events), THANKS) for events in heard] == [0] * 8
    assert len(recognizer.finals) == 8  # each turn is decoded once


async def test_silent_sessions_go_on_while_a_decode_is_stuck():
    gate = Gate()
    async with running(WrappedRecognizer(whisper(), gate)) as engine:
        stuck = asyncio.create_task(hear(engine, vocabulary=FIRST))
        await until(gate.entered.is_set)
        with engine.session(16_000) as silent, engine.session(16_000) as speaker:
            await silent.open()
            await speaker.open()
            for _ in range(20):
                assert await push(silent, silence(1.0)) == []
            assert of(SpeechStarted, await push(speaker, SENTENCE[: SPOKEN // 2]))  # listens, though it has no words
            assert not stuck.done()
            gate.opened.set()
            assert word_errors(text_of(await push_and_finish(speaker, SENTENCE[SPOKEN // 2 :])), THANKS) == 0
        assert word_errors(text_of(await stuck), THANKS) == 0


async def test_a_caller_that_leaves_cancels_its_decodes():
    gate = Gate()
    recognizer = WrappedRecognizer(whisper(), gate)
    async with running(recognizer) as engine:
        first = asyncio.create_task(hear(engine, vocabulary=FIRST))
        await until(gate.entered.is_set)
        with engine.session(16_000, vocabulary=SECOND) as session:
            second = asyncio.create_task(transcribe(session, SENTENCE))
            await until(lambda: session._session is not None and session._session.awaited)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
        await until(lambda: all(job.result.cancelled() for job in (*engine._queue._finals, *engine._queue._drafts)))
        gate.opened.set()
        assert word_errors(text_of(await first), THANKS) == 0
        assert word_errors(text_of(await hear(engine)), THANKS) == 0
    assert SECOND not in [request.vocabulary for request in recognizer.requests]


async def test_a_session_is_closed_after_the_call_that_is_running():
    """The call may still submit decodes."""
    entered, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Listening:
        in_turn, position_s, awaited = False, 0.0, None

        def push(self, samples):
            entered.set()
            assert go_on.wait(PATIENCE_S)
            assert not closed.is_set()
            return []

        def close(self):
            closed.set()

    with ThreadPoolExecutor(1) as listening:
        session = AsyncSession(cast(Any, Listening), listening, 16_000, EngineLimits())
        await session.open()
        pushing = asyncio.create_task(push(session, silence(0.1)))
        await until(entered.is_set)
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        session.close()
        assert not closed.is_set()
        go_on.set()
        await until(closed.is_set)


async def test_a_decode_that_waits_too_long_fails_its_session_and_no_other():
    gate = Gate()
    refused = metric("stt_decodes_refused_total")
    async with running(WrappedRecognizer(whisper(), gate), decode_wait_s=2.0) as engine:
        with engine.session(16_000) as other:
            await other.open()
            events = await push(other, SENTENCE[: SPOKEN // 2])
            first = asyncio.create_task(hear(engine, vocabulary=FIRST))
            await until(gate.entered.is_set)
            second = asyncio.create_task(hear(engine, vocabulary=SECOND))
            await until(lambda: engine._queue._finals)
            await asyncio.sleep(2.1)  # longer than decode_wait_s
            gate.opened.set()
            with pytest.raises(Busy) as refusal:
                await second
            assert refusal.value.retry_after_s
            assert word_errors(text_of(await first), THANKS) == 0
            events += await push_and_finish(other, SENTENCE[SPOKEN // 2 :])
            assert word_errors(text_of(events), THANKS) == 0
    assert metric("stt_decodes_refused_total") == refused + 1


async def test_drafts_that_fail_cost_partials_and_not_the_final():
    def fail(request):
        if not request.final:
            raise Unavailable("stt", "out of memory")

    failed = metric("stt_drafts_failed_total")
    async with running(WrappedRecognizer(whisper(), fail)) as engine:
        with engine.session(16_000) as session:
            await session.open()
            events = []
            for start in range(0, SPOKEN, 1600):
                events += await push(session, SENTENCE[start : min(start + 1600, SPOKEN)])
                await until(lambda: not engine._queue._drafts)
            events += await push_and_finish(session, SENTENCE[SPOKEN:])
    assert metric("stt_drafts_failed_total") > failed
    assert word_errors(text_of(events), THANKS) == 0
    speech_end_s = of(TurnEnded, events)[0].speech_end_s
    assert {partial.text for partial in of(Partial, events) if partial.at_s < speech_end_s} == {""}


async def test_a_final_decode_that_fails_ends_its_session_and_no_other():
    def fail(request):
        if request.final and request.vocabulary == FIRST:
            raise Unavailable("stt", "out of memory")

    logged = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context["message"]))
    async with running(WrappedRecognizer(whisper(), fail)) as engine:
        first, second = await asyncio.gather(
            hear(engine, vocabulary=FIRST), hear(engine, vocabulary=SECOND), return_exceptions=True
        )
        assert isinstance(first, Unavailable)
        assert not isinstance(second, BaseException)
        assert word_errors(text_of(second), THANKS) == 0
    del engine, first
    gc.collect()
    assert logged == []  # asyncio would log an error that nobody took
