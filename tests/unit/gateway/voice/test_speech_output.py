"""One caller's replies with fakes for the voices, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oviya.audio.pcm import Pcm
from oviya.errors import Unavailable
from oviya.v1 import common_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.voice.segment import (
    FALLBACK,
    NEUTRAL_PLAN,
    VOICE_RATE_HZ,
    Sentence,
    SpeechOptions,
)
from services.gateway.voice.speech_handle import SpeechState
from services.gateway.voice.speech_output import SpeechOutput
from tests.support.segments import Sent

pytestmark = pytest.mark.virtual_time


async def two_seconds(*_: Any) -> AsyncGenerator[Pcm, None]:
    for _piece in range(20):
        yield np.full(VOICE_RATE_HZ // 10, 0.1, np.float32)


async def neutral(*_: Any) -> Any:
    return NEUTRAL_PLAN


def new_output(lead_s: float = 1.0) -> SpeechOutput:
    fake: Any = SimpleNamespace(
        map_emotion=neutral, speak=two_seconds, speakers=(), styles=(), checkpoint_speech=SimpleNamespace(languages={})
    )
    return SpeechOutput(
        options=SpeechOptions(FALLBACK, lead_s=lead_s),
        audio_format=common_pb2.AudioFormat(encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=24_000),
        mesh=fake,
        readiness=fake,
        csm=fake,
        fallback=fake,
        settings=GatewaySettings(),
    )


async def one_and_no_more() -> AsyncGenerator[Sentence, None]:
    yield Sentence("All of this is heard.", "All of this is heard.", "joy")
    raise Unavailable("brain", "the script ends it")


@pytest.mark.parametrize("paused_at_s", [None, 1.5])
async def test_what_was_made_before_a_failure_is_played_before_it_is_raised(paused_at_s):
    loop, sent = asyncio.get_running_loop(), Sent()
    speech = new_output().say(one_and_no_more(), sent)
    if paused_at_s is not None:
        await asyncio.sleep(paused_at_s)
        paused_s = speech.pause()
        assert paused_s == pytest.approx(paused_at_s, abs=0.1)
        await asyncio.sleep(1.0)
        assert speech.state is SpeechState.PLAYING
        resumed_s = speech.resume()
        assert 0 < resumed_s <= paused_s
    with pytest.raises(Unavailable):
        await speech.wait()
    assert loop.time() >= 2.0
    assert speech.played_s == pytest.approx(2.0, abs=0.1)
    assert sent.positions[-1] == pytest.approx(1.9, abs=0.1)


async def test_a_reply_can_be_interrupted_while_it_waits_for_its_next_sentence():
    async def one_and_then_none() -> AsyncGenerator[Sentence, None]:
        yield Sentence("Fine.", "Fine.", "joy")
        await asyncio.Event().wait()

    speech = new_output().say(one_and_then_none(), Sent())
    await asyncio.sleep(3.0)
    speech.interrupt()
    await speech.wait()
    assert speech.state is SpeechState.INTERRUPTED
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
