"""Decoders that die, hang or break."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from oviya.errors import Unavailable
from services.stt import metrics
from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.engine.events import TurnEnded
from tests.support.speech import word_errors
from tests.support.stt_engine import (
    SENTENCE,
    SPOKEN,
    THANKS,
    decoders,
    push,
    push_and_finish,
    running,
    text_of,
    transcribe,
    value,
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_decoder_that_dies_in_the_middle_of_a_turn_costs_no_word(number):
    lost, recovered = value(metrics.RECOGNIZERS_LOST), value(metrics.RECOVERED_PHRASES)
    async with running() as engine:
        with engine.session(16_000) as session:
            await session.open()
            events = await push(session, SENTENCE[: SPOKEN // 2])
            assert session.in_turn
            [decoder] = decoders()
            decoder.send_signal(number)
            decoder.wait(10)
            events += await push_and_finish(session, SENTENCE[SPOKEN // 2 :])
            assert word_errors(text_of(events), THANKS) <= 1
            assert [type(event) for event in events if isinstance(event, TurnEnded)] == [TurnEnded]
            events = await push(session, SENTENCE)  # and the session continues
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
    """Raises Unavailable from `partial` while `breaks` is set."""

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
