"""How a turn ends, in virtual time: what is reported, spoken and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from oviya.errors import Unavailable
from oviya.v1 import brain_pb2, common_pb2, conversation_pb2, emotion_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.turn.turn_handler import TurnHandler
from services.gateway.turn.utterance import Utterance
from services.gateway.voice.segment import AUTO, Sentence, SpeechOptions
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.voice_context import VoiceContext
from tests.support.segments import new_speech, say, start

pytestmark = pytest.mark.virtual_time

REQUESTED = conversation_pb2.INTERRUPT_REASON_REQUESTED


class Output:
    """Speaks each sentence in one second."""

    def __init__(self) -> None:
        self.context = VoiceContext(5)
        self.options = SpeechOptions(AUTO)
        self.said: list[str] = []
        self.turns: list[int] = []

    def say(
        self, sentences: AsyncGenerator[Sentence, None], send: Any, *, turn: int, held: bool = False, **_: Any
    ) -> SpeechHandle:
        self.turns.append(turn)
        speech = new_speech(held=held)[0]

        async def speaking(speech: SpeechHandle) -> None:
            async for sentence in sentences:
                self.said.append(sentence.text)
                await say(speech, sentence.text, 1.0, filler=sentence.filler)

        start(speech, speaking)
        return speech


class Turns:
    """A handler between fakes.

    Args:
        brain_s: seconds until the brain fails or answers.
        fails: whether it fails.
        emotion_s: seconds until the emotion is known.
    """

    def __init__(self, *, brain_s: float = 0.0, fails: bool = False, emotion_s: float = 0.0) -> None:
        self.events: list[str] = []
        self.remembered: list[str] = []

        async def reply(request: brain_pb2.ReplyRequest) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
            await asyncio.sleep(brain_s)
            if fails:
                raise Unavailable("brain", "the script says so")
            yield brain_pb2.ReplyResponse(text="Fine.", emotion="joy")

        async def detect_emotion(*_: Any, **__: Any) -> emotion_pb2.DetectResponse:
            await asyncio.sleep(emotion_s)
            return emotion_pb2.DetectResponse(emotions=[emotion_pb2.EmotionScore(emotion="joy")])

        async def send(turn: int, event: Any) -> None:
            if isinstance(event, conversation_pb2.Interrupted | conversation_pb2.ReplyEnded | common_pb2.ErrorDetail):
                await asyncio.sleep(5.0)  # the caller reads slowly
            self.events.append(type(event).__name__)

        self.output = Output()
        memory = SimpleNamespace(
            session_id="s",
            summary="",
            turns=list,
            shorten=lambda: None,
            add_user=self.remembered.append,
            add_reply=self.remembered.extend,
        )
        self.handler = TurnHandler(
            SimpleNamespace(reply=reply, detect_emotion=detect_emotion),  # type: ignore[arg-type]
            self.output,  # type: ignore[arg-type]
            GatewaySettings(apology="Sorry.", fillers=["Let me see."], filler_after_s=1.5, emotion_budget_s=0.1),
            memory,  # type: ignore[arg-type]
            send,
        )

    async def answer(self, *, stop_after_s: float | None = None) -> None:
        """Answers a typed "hello"; stops the reply after some time."""
        answering = asyncio.create_task(self.handler.respond(Utterance(0, "hello", True, ended_at=0.0)))
        if stop_after_s is not None:
            await asyncio.sleep(stop_after_s)
            await self.handler.reply.stop(REQUESTED)
        await answering


async def test_a_reply_that_fails_after_a_filler_ends_with_the_apology():
    turns = Turns(brain_s=4.0, fails=True)
    await turns.answer()
    assert turns.output.said == ["Let me see.", "Sorry."]
    assert turns.events == ["EmotionScore", "ErrorDetail"]
    assert turns.remembered == ["hello"]


@pytest.mark.parametrize("after_s", [0.05, 0.5, 2.0])
async def test_what_the_user_said_is_remembered_whenever_the_reply_is_stopped(after_s):
    turns = Turns(brain_s=9.0, emotion_s=1.0)
    await turns.answer(stop_after_s=after_s)
    assert turns.remembered == ["hello"]
    assert turns.events[-1] == "Interrupted"


@pytest.mark.parametrize("stop_after_s", [1.0, None])
async def test_no_event_of_a_turn_follows_its_end(stop_after_s):
    turns = Turns(emotion_s=3.0)
    await turns.answer(stop_after_s=stop_after_s)
    assert turns.events == ["Interrupted" if stop_after_s else "ReplyEnded"]


@pytest.mark.parametrize(("turn", "emotion", "replies"), [(0, "", [0]), (1, "", [0, 1]), (0, "joy", [0, 0])])
async def test_a_preemptive_reply_is_given_for_its_own_turn_and_as_it_would_be_spoken_now(turn, emotion, replies):
    turns = Turns()
    await turns.handler.start_preemptive_reply(0, "hello", "")
    await asyncio.sleep(0.5)
    turns.output.options = SpeechOptions(AUTO, emotion=emotion)
    await turns.handler.respond(Utterance(turn, "hello", True, ended_at=0.0))
    assert turns.output.turns == replies
    assert turns.events[-1] == "ReplyEnded"
