"""What the user's spoken turns change in a session."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from oviya.errors import Unavailable
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, stt_pb2
from services.gateway.conversation.spoken_turns import SpokenTurns
from services.gateway.turn.silence_prompt import SilencePrompt
from services.gateway.turn.utterance import Utterance
from services.gateway.voice.segment import FALLBACK

pytestmark = pytest.mark.virtual_time

SOUND = common_pb2.Audio(format=common_pb2.AudioFormat(sample_rate_hz=16_000))


class Calls:
    """Takes every call, and keeps the names of the methods."""

    def __init__(self, **answers: Any) -> None:
        self.names: list[str] = []
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any) -> Any:
            self.names.append(name)
            return self._answers.get(name)

        return call


def spoken_turns(silence: SilencePrompt, handler: Calls, *, answered: bool = True) -> SpokenTurns:
    fake: Any = SimpleNamespace(
        options=SimpleNamespace(voice=FALLBACK), note_activity=lambda: None, voice_context_turns=0
    )
    events: Any = Calls()
    return SpokenTurns(
        mesh=fake,
        readiness=fake,
        settings=fake,
        audio_format=common_pb2.AudioFormat(),
        output=fake,
        events=events,
        handler=handler,  # type: ignore[arg-type]
        taking=Calls(speech_ended=answered),  # type: ignore[arg-type]
        answers=events,
        silence=silence,
        lifetime=fake,
    )


async def hear(spoken: SpokenTurns, text: str) -> None:
    """A turn of one second."""
    await spoken.on_speech_started(0, stt_pb2.SpeechStarted())
    await asyncio.sleep(1.0)
    utterance = Utterance(0, text, False, ended_at=0.0, sound=SOUND)
    await spoken.on_turn_ended(stt_pb2.Transcript(text=text), stt_pb2.TurnEnded(), utterance)


@pytest.mark.parametrize(("text", "answered", "asked"), [("hi", True, 2), ("", True, 1), ("are you there", False, 1)])
async def test_only_words_of_the_user_begin_a_silence_in_which_they_are_asked_again(text, answered, asked):
    times: list[float] = []
    silence = SilencePrompt(10.0, lambda: times.append(asyncio.get_running_loop().time()))
    spoken = spoken_turns(silence, Calls(), answered=answered)
    watching = asyncio.create_task(silence.run())
    await hear(spoken, "hello")  # answered or not, nobody was asked before
    await asyncio.sleep(20.0)
    assert len(times) == 1
    await hear(spoken, text)  # e.g. the echo of the question
    await asyncio.sleep(20.0)
    assert len(times) == asked
    await cancel_and_wait(watching)
    await spoken.close()


async def test_a_turn_that_fails_cancels_the_reply_that_was_made_for_it():
    handler = Calls()
    spoken = spoken_turns(SilencePrompt(10.0, lambda: None), handler)
    await spoken.on_turn_failed(0, Unavailable("stt", "the script says so"))
    assert handler.names == ["cancel_preemptive_reply"]
    await spoken.close()
