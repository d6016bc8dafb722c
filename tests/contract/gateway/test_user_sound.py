"""The user's turns, encoded by a Mimi on a real port while they are heard, and what CSM gets of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from oviya.audio.pcm import S16LE, encode_pcm
from oviya.errors import Busy, OviyaError
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice import user_sound
from services.gateway.voice.user_sound import MESSAGE_S, UserSound
from tests.support.gateway_mesh import Heard, gateway_with, speech
from tests.support.metrics import metric
from tests.support.ports import free_port
from tests.support.scripted_services import RATE_HZ, ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt
from tests.support.serving import serve_for_test
from tests.support.waiting import PATIENCE_S, until

CODEBOOKS = 8
FORMAT = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=RATE_HZ)


@dataclass
class ReadinessOfVoice:
    """What `UserSound` asks of a `Readiness`."""

    codebooks: int = CODEBOOKS
    problem: tuple[str, str] | None = None

    def voice_problem(self) -> tuple[str, str] | None:
        return self.problem


@dataclass
class Listening:
    """A `UserSound`, and what it reported."""

    sound: UserSound
    readiness: ReadinessOfVoice
    problems: list[str] = field(default_factory=list)


@asynccontextmanager
async def listening_to(mimi: ScriptedMimi | None, **settings: Any) -> AsyncIterator[Listening]:
    """Runs a Mimi, or none, and a `UserSound` that uses it."""
    async with serve_for_test(mimi or ScriptedMimi()) as served:
        address = served.address if mimi else f"127.0.0.1:{free_port()}"
        configured = GatewaySettings(mimi_address=address, **settings)
        mesh, readiness, problems = Mesh(configured), ReadinessOfVoice(), list[str]()

        async def report(problem: str) -> None:
            problems.append(problem)

        sound = UserSound(mesh, cast("Readiness", readiness), configured, FORMAT, report)
        try:
            yield Listening(sound, readiness, problems)
        finally:
            await sound.close()
            await mesh.close()


def pcm(seconds: float) -> bytes:
    return encode_pcm(np.full(round(seconds * RATE_HZ), 0.1, np.float32), S16LE)


def frames_of(codes: common_pb2.RvqFrames | None) -> list[int]:
    """The number of each frame: the scripted Mimi counts them."""
    assert codes is not None
    assert codes.codebooks == CODEBOOKS
    return list(codes.codes[::CODEBOOKS])


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for frames as long as a machine takes that runs other tests at the same time."""
    monkeypatch.setattr(user_sound, "FINISH_S", PATIENCE_S)


async def test_a_turn_is_encoded_while_it_is_heard():
    mimi = ScriptedMimi()
    async with listening_to(mimi) as listening:
        listening.sound.begin(0, pcm(0.3))
        for _ in range(50):
            listening.sound.push(pcm(0.02))
        await until(lambda: mimi.encodes and sum(mimi.encodes[0]) > 0.9)  # before the end of the turn
        frames = await listening.sound.finish(0)
    assert frames_of(frames) == list(range(17))  # 1.3 s, the last frame in part
    assert mimi.encodes[0][:-1] == [pytest.approx(MESSAGE_S)] * 8
    assert sum(mimi.encodes[0]) == pytest.approx(1.3)
    assert listening.problems == []


async def test_what_has_been_encoded_is_available_before_the_end_of_the_turn():
    async with listening_to(ScriptedMimi()) as listening:
        sound = listening.sound
        assert sound.so_far(0) is None
        sound.begin(0, pcm(0.8))
        await until(lambda: sound.so_far(0) is not None and frames_of(sound.so_far(0)) == list(range(10)))
        sound.push(pcm(0.8))
        assert frames_of(await sound.finish(0)) == list(range(20))
        assert sound.so_far(0) is None


async def test_frames_after_the_end_of_the_speech_are_left_out():
    async with listening_to(ScriptedMimi()) as listening:
        listening.sound.begin(3, pcm(2.0))
        frames = await listening.sound.finish(3, speech_s=0.81)
    assert frames_of(frames) == list(range(11))


async def test_each_turn_has_its_own_call():
    mimi = ScriptedMimi()
    async with listening_to(mimi) as listening:
        for turn, seconds in ((0, 0.8), (1, 0.4)):
            listening.sound.begin(turn, pcm(seconds))
            assert len(frames_of(await listening.sound.finish(turn))) == round(seconds / 0.08)
            listening.sound.push(pcm(1.0))  # between turns
        assert await listening.sound.finish(1) is None  # it was finished before
    assert [sum(call) for call in mimi.encodes] == [pytest.approx(0.8), pytest.approx(0.4)]


async def test_a_dropped_turn_ends_its_call():
    mimi = ScriptedMimi()
    dropped = metric("gateway_user_sounds_total", outcome="dropped")
    async with listening_to(mimi) as listening:
        listening.sound.begin(0, pcm(1.0))
        await until(lambda: mimi.encodes and mimi.encodes[0])
        listening.sound.drop(0)
        assert await listening.sound.finish(0) is None
        await until(lambda: mimi.open_encodes == 0)
        listening.sound.begin(1, pcm(0.4))  # not finished before the next one begins
        listening.sound.begin(2, pcm(0.4))
        assert len(frames_of(await listening.sound.finish(2))) == 5
    assert metric("gateway_user_sounds_total", outcome="dropped") == dropped + 2
    assert listening.problems == []


async def test_a_long_turn_has_no_sound_and_its_call_ends_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(user_sound, "MAX_TURN_S", 1.0)
    mimi = ScriptedMimi()
    async with listening_to(mimi) as listening:
        listening.sound.begin(0, pcm(0.9))
        await until(lambda: mimi.encodes and mimi.encodes[0])
        listening.sound.push(pcm(0.2))
        await until(lambda: mimi.open_encodes == 0)
        listening.sound.push(pcm(0.2))
        assert await listening.sound.finish(0) is None
    assert listening.problems == []
    assert len(mimi.encodes) == 1


async def test_a_failure_is_reported_once_and_counted_each_time():
    mimi = ScriptedMimi()
    failed = metric("gateway_user_sounds_total", outcome="failed")
    async with listening_to(mimi) as listening:
        mimi.refuse_encode = OviyaError("the script fails")
        for turn in (0, 1):
            listening.sound.begin(turn, pcm(1.0))
            assert await listening.sound.finish(turn) is None
        mimi.refuse_encode = None
        listening.sound.begin(2, pcm(0.8))
        assert len(frames_of(await listening.sound.finish(2))) == 10
    assert metric("gateway_user_sounds_total", outcome="failed") == failed + 2
    assert len(listening.problems) == 1
    assert "the script fails" in listening.problems[0]


async def test_a_busy_mimi_is_asked_again_and_encodes_all_or_nothing():
    mimi = ScriptedMimi()
    async with listening_to(mimi) as listening:
        mimi.refuse_encode = Busy("all 4 streams are taken", retry_after_s=0.1)

        def free_later() -> None:
            if len(mimi.encodes) > 1:
                mimi.refuse_encode = None

        mimi.before_encode = free_later
        listening.sound.begin(0, pcm(0.8))
        listening.sound.push(pcm(0.8))
        frames = await listening.sound.finish(0)
    assert len(mimi.encodes) == 2
    assert frames is None or len(frames_of(frames)) == 20  # gRPC may lose a message when it repeats a call
    assert (frames is None) == bool(listening.problems)


async def test_a_missing_or_slow_mimi_costs_the_sound_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(user_sound, "FINISH_S", 0.2)
    mimi = ScriptedMimi()
    hanging = asyncio.Event()
    mimi.before_encode = hanging.wait
    for service in (None, mimi):
        async with listening_to(service) as listening:
            listening.sound.begin(0, pcm(1.0))
            assert await listening.sound.finish(0) is None
        assert len(listening.problems) == 1
        assert "mimi" in listening.problems[0]
    hanging.set()


async def test_nothing_is_encoded_for_a_voice_without_context():
    mimi = ScriptedMimi()
    async with listening_to(mimi, voice_context_turns=0) as listening:
        listening.sound.begin(0, pcm(1.0))
        assert await listening.sound.finish(0) is None
    async with listening_to(mimi) as listening:
        listening.readiness.problem = ("csm", "cannot be reached")
        listening.sound.begin(0, pcm(1.0))
        assert await listening.sound.finish(0) is None
        assert listening.problems == []
    assert mimi.encodes == []


async def test_the_end_of_a_session_ends_its_call():
    mimi = ScriptedMimi()
    async with listening_to(mimi) as listening:
        listening.sound.begin(0, pcm(1.0))
        await until(lambda: mimi.encodes and mimi.encodes[0])
        await listening.sound.close()
        await until(lambda: mimi.open_encodes == 0)
        listening.sound.push(pcm(1.0))
        assert await listening.sound.finish(0) is None


async def converse_twice(csm: ScriptedCsm, mimi: ScriptedMimi, **config: Any) -> Heard:
    """Speaks for 1 s, and types a turn when the reply is over."""
    replied = asyncio.Event()

    def tell(event: Any) -> None:
        if event.HasField("reply_ended"):
            replied.set()

    async with gateway_with(ScriptedStt("Hello there."), csm, mimi, ScriptedBrain()) as gateway:
        return await gateway.converse(*speech(1.0), replied.wait(), "And now?", until=tell, **config)


async def test_csm_gets_what_the_user_said_as_sound():
    csm, mimi = ScriptedCsm(frames=4), ScriptedMimi()
    heard = await converse_twice(csm, mimi)
    assert [sentence.voice for sentence in heard.of("reply_sentence")] == [conversation_pb2.VOICE_CSM] * 2
    context = csm.requests[-1].context
    assert [segment.text for segment in context] == ["Hello there.", "I hear you.", "And now?"]
    said, _, typed = context
    assert list(said.audio.codes[::CODEBOOKS]) == list(range(13))  # 1 s, without the silence that ends the turn
    assert not typed.HasField("audio")
    assert said.speaker == typed.speaker != context[1].speaker
    assert mimi.open_encodes == 0
    assert sum(map(len, mimi.encodes)) > 1  # while it was heard


async def test_a_mimi_that_does_not_encode_leaves_the_words():
    csm, mimi = ScriptedCsm(frames=4), ScriptedMimi()
    mimi.refuse_encode = OviyaError("the script fails")
    heard = await converse_twice(csm, mimi)
    assert [segment.text for segment in csm.requests[-1].context] == ["Hello there.", "I hear you.", "And now?"]
    assert not csm.requests[-1].context[0].HasField("audio")
    (degraded,) = heard.of("degraded")
    assert degraded.service == "mimi"
    assert "text only" in degraded.message


async def test_the_fallback_voice_encodes_nothing():
    csm, mimi = ScriptedCsm(frames=4), ScriptedMimi()
    await converse_twice(csm, mimi, voice=conversation_pb2.VOICE_FALLBACK)
    assert mimi.encodes == []
