"""The engine: its pool, its limits, and decoders that die."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace

import numpy as np
import psutil
import pytest

from oviya.errors import Busy, Timeout, Unavailable
from services.stt import metrics
from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.engine import SttEngine
from services.stt.engine.events import EndReason, Final, SpeechStarted, TurnEnded
from services.stt.engine.limits import EngineLimits, TurnLimits
from tests.support.speech import silence, speak, word_errors

TURNS = TurnLimits(0.25, EndSilence(0.35, 0.9, 1.5), max_turn_s=60.0)
THANKS = "thank you very much"
SENTENCE = np.concatenate((silence(0.3), speak(THANKS), silence(1.2)))


@asynccontextmanager
async def running(sessions=1, warm=1, make_recognizer=SphinxRecognizer, **limits):
    limits = EngineLimits(**{"sessions": sessions, "slots": sessions, "warm": warm, "max_session_s": 600.0, **limits})
    engine = SttEngine(TURNS, limits, make_recognizer)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def decoders() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it ends just now
            if "services.stt.decode.sphinx_worker" in child.cmdline():
                found.append(child)
    return found


async def hear(session, sound) -> list:
    return [event async for event in session.push(sound)] + await session.finish()


async def transcribe(session, sound) -> list:
    await session.open()
    return await hear(session, sound)


def value(metric, suffix="_total") -> float:
    """What a counter without labels says."""
    return next(
        sample.value for family in metric.collect() for sample in family.samples if sample.name.endswith(suffix)
    )


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


async def test_a_session_that_is_too_long_gets_its_last_words_and_a_timeout():
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


SPOKEN = len(SENTENCE) - round(1.2 * 16_000)  # samples up to the end of the speech, more or less


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_decoder_that_dies_in_the_middle_of_a_turn_costs_no_word(number):
    lost, recovered = value(metrics.RECOGNIZERS_LOST), value(metrics.RECOVERED_PHRASES)
    async with running() as engine:
        with engine.session(16_000) as session:
            await session.open()
            events = [event async for event in session.push(SENTENCE[: SPOKEN // 2])]
            assert session.in_turn
            [decoder] = decoders()
            decoder.send_signal(number)
            decoder.wait(10)
            events += await hear(session, SENTENCE[SPOKEN // 2 :])
            assert word_errors(text_of(events), THANKS) <= 1
            assert [type(event) for event in events if isinstance(event, TurnEnded)] == [TurnEnded]
            events = [event async for event in session.push(SENTENCE)]  # and its session goes on
            assert word_errors(text_of(events), THANKS) <= 1
    assert value(metrics.RECOGNIZERS_LOST) == lost + 1
    assert value(metrics.RECOVERED_PHRASES) == recovered + 1


async def test_a_decoder_that_dies_between_turns_is_replaced_before_anybody_speaks():
    lost = value(metrics.RECOGNIZERS_LOST)
    async with running(check_every_s=0.05) as engine:
        [decoder] = decoders()
        decoder.kill()
        async with asyncio.timeout(30):
            while [one.pid for one in decoders()] in ([decoder.pid], []):
                await asyncio.sleep(0.05)
        assert value(metrics.RECOGNIZERS_LOST) == lost + 1
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1
        assert value(metrics.RECOGNIZERS_LOST) == lost + 1


async def test_a_decoder_that_hangs_is_replaced(monkeypatch):
    async with running() as engine:
        [decoder] = decoders()
        os.kill(decoder.pid, signal.SIGSTOP)
        monkeypatch.setattr("services.stt.decode.sphinx.REPLY_TIMEOUT_S", 3.0)
        with engine.session(16_000) as session, pytest.raises(Unavailable, match="not answered"):
            await transcribe(session, SENTENCE)
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


class BreakingRecognizer(SphinxRecognizer):
    """Breaks whenever it is asked for words while `breaks` is set."""

    breaks = False

    def partial(self):
        if self.breaks:
            raise Unavailable("stt", "the script breaks it")
        return super().partial()


async def test_a_phrase_that_breaks_every_decoder_ends_its_session_and_no_other():
    async with running(make_recognizer=BreakingRecognizer) as engine:
        BreakingRecognizer.breaks = True
        with engine.session(16_000) as session, pytest.raises(Unavailable, match="script"):
            await transcribe(session, SENTENCE)
        BreakingRecognizer.breaks = False
        with engine.session(16_000) as session:
            assert word_errors(text_of(await transcribe(session, SENTENCE)), THANKS) <= 1


async def test_a_quiet_stream_holds_no_slot_and_a_turn_gives_its_slot_back():
    async with running(sessions=10, slots=1) as engine:
        with ExitStack() as stack:
            quiet = [stack.enter_context(engine.session(16_000)) for _ in range(8)]
            speaker, other = (stack.enter_context(engine.session(16_000)) for _ in range(2))
            for session in (*quiet, speaker, other):
                await session.open()
            for session in quiet:
                assert [event async for event in session.push(silence(1.0))] == []
            for session in (speaker, other, speaker):  # none of them has ended
                events = [event async for event in session.push(SENTENCE)]
                assert word_errors(text_of(events), THANKS) <= 1


async def test_more_speakers_than_slots_wait_and_all_are_heard():
    waits = value(metrics.SLOT_WAIT_SECONDS, "_count")
    async with running(sessions=5, slots=1, slot_wait_s=120.0) as engine:
        with ExitStack() as stack:
            sessions = [stack.enter_context(engine.session(16_000)) for _ in range(5)]
            heard = await asyncio.gather(*(transcribe(session, SENTENCE) for session in sessions))
    assert [word_errors(text_of(events), THANKS) <= 1 for events in heard] == [True] * 5
    assert value(metrics.SLOT_WAIT_SECONDS, "_count") >= waits + 4


async def test_who_gets_no_slot_in_time_is_told_and_disturbs_nobody():
    async with running(sessions=2, slots=1, slot_wait_s=0.2) as engine:
        with engine.session(16_000) as first, engine.session(16_000) as second:
            await first.open()
            await second.open()
            events = [event async for event in first.push(SENTENCE[:SPOKEN])]
            told = []

            async def speak_too():
                async for event in second.push(SENTENCE):
                    told.append(event)

            with pytest.raises(Busy, match="1 decoders") as refusal:
                await speak_too()
            assert [type(event) for event in told] == [SpeechStarted]  # at once, before the wait
            assert refusal.value.retry_after_s > 0
            events += [event async for event in first.push(SENTENCE[SPOKEN:])]
            assert word_errors(text_of(events), THANKS) <= 1
        with engine.session(16_000) as third:
            assert word_errors(text_of(await transcribe(third, SENTENCE)), THANKS) <= 1


async def test_a_caller_that_leaves_while_it_waits_or_speaks_frees_its_place():
    async with running(sessions=3, slots=1, slot_wait_s=60.0) as engine:
        with engine.session(16_000) as first:
            await first.open()
            _ = [event async for event in first.push(SENTENCE[:SPOKEN])]  # holds the slot

            async def wait():
                with engine.session(16_000) as session:
                    await transcribe(session, SENTENCE)

            waiting = [asyncio.create_task(wait()) for _ in range(2)]
            while len(engine._pool._waiting) < 2:
                await asyncio.sleep(0.01)
            waiting[0].cancel()
            await asyncio.wait(waiting[:1])
            assert len(engine._pool._waiting) == 1
        await waiting[1]  # the first left in the middle of its turn
        assert len(engine._pool.free) == 1


async def test_who_speaks_without_end_lets_others_have_their_turn():
    """Each of its turns ends at the longest length; a slot held from one to the next would shut everybody out."""
    engine_turns = replace(TURNS, max_turn_s=2.0)
    engine = SttEngine(engine_turns, EngineLimits(sessions=2, slots=1, warm=1, slot_wait_s=60.0), SphinxRecognizer)
    await engine.start()
    try:
        with engine.session(16_000) as endless, engine.session(16_000) as other:
            await endless.open()
            stop = asyncio.Event()

            async def go_on():
                while not stop.is_set():
                    _ = [event async for event in endless.push(speak("on and on and on and on and on"))]

            talking = asyncio.create_task(go_on())
            await asyncio.sleep(0.1)
            events = await transcribe(other, SENTENCE)
            assert word_errors(text_of(events), THANKS) <= 1
            assert not talking.done()
            stop.set()
            await talking
    finally:
        await engine.close()


async def test_a_stream_in_which_nobody_speaks_ends_by_the_clock():
    async with running(idle_s=0.3) as engine:
        with engine.session(16_000) as session:
            await session.open()

            async def stay_silent():
                while True:
                    assert [event async for event in session.push(silence(0.02))] == []
                    assert [event async for event in session.end_turn()] == []
                    await asyncio.sleep(0.01)

            with pytest.raises(Timeout, match="nobody has spoken"):
                await stay_silent()


async def test_a_recording_with_a_long_silence_is_heard_to_its_end():
    """Ten minutes of silence that take no time are no idle caller."""
    async with running(idle_s=60.0) as engine:
        with engine.session(16_000) as session:
            await session.open()
            for _ in range(60):
                assert [event async for event in session.push(silence(2.0))] == []
            assert word_errors(text_of(await hear(session, SENTENCE)), THANKS) <= 1


async def test_a_turn_whose_sound_stops_coming_ends_and_frees_its_slot():
    async with running(sessions=2, slots=1, turn_stall_s=1.0) as engine:
        with engine.session(16_000) as stalled, engine.session(16_000) as other:
            await stalled.open()
            events = [event async for event in stalled.push(SENTENCE[:SPOKEN])]
            assert stalled.in_turn
            for _ in range(9):  # a sample now and then changes nothing
                events += [event async for event in stalled.add_wait(0.11)]
                events += [event async for event in stalled.push(silence(1 / 16_000))]
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
                events += [event async for event in session.push(SENTENCE[sample : sample + 1])]
            events += await session.finish()
    assert events == at_once


async def test_a_second_turn_of_the_same_speaker_goes_on_with_what_the_decoder_has_learnt():
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
                assert text_of([event async for event in session.push(SENTENCE)])
            assert len(begun) == len(set(begun)) == 2
        with engine.session(16_000) as third:
            await transcribe(third, SENTENCE)
            assert len(begun) == 3


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
