"""The brain is asked at the likely end of a turn, and what it said is used or thrown away."""

from __future__ import annotations

from typing import Any

from oviya.v1 import brain_pb2, emotion_pb2
from services.gateway.memory.memory import Memory
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.settings import GatewaySettings
from services.gateway.turn.turn_handler import TurnHandler
from services.gateway.upstream.clients import Mesh
from tests.support.ports import free_port


class CountingMesh(Mesh):
    """Answers at once, and counts how often it was asked; the words of a user sound calm."""

    def __init__(self) -> None:
        super().__init__(GatewaySettings(emotion_address=f"127.0.0.1:{free_port()}"))
        self.asked: list[str] = []

    async def detect_emotion(self, text, sound, speaker, *, language=""):
        return judged("calm_supportive", intensity=0.4)

    async def reply(self, request):
        self.asked.append(request.text)
        yield brain_pb2.ReplyResponse(text=f"to {request.text}", emotion="joy")


def judged(feeling: str, *, intensity: float) -> emotion_pb2.DetectResponse:
    tone = emotion_pb2.Tone(feeling=feeling, mirror=feeling, support=feeling, ask=feeling, intensity=intensity)
    return emotion_pb2.DetectResponse(emotions=[emotion_pb2.EmotionScore(emotion=feeling)], tone=tone)


def new_handler(mesh: Mesh) -> TurnHandler:
    async def send(turn, event): ...

    async def summarize(*_: Any): ...

    nothing: Any = None
    memory = Memory("s", SessionRepository(nothing), summarize, verbatim=20)  # pyright: ignore[reportArgumentType]
    return TurnHandler(mesh, nothing, GatewaySettings(), memory=memory, send=send)


async def texts(
    handler: TurnHandler, text: str, feeling: emotion_pb2.DetectResponse, language: str = "en"
) -> list[str]:
    reply = await handler._replies.reply(handler._replies.request(text, language, feeling))
    return [response.text async for response in reply]


async def start(handler: TurnHandler, mesh: CountingMesh, text: str) -> None:
    await handler.start_preemptive_reply(text, "en")
    assert handler._replies._preemptive is not None
    await handler._replies._preemptive._reading


async def test_a_preemptive_reply_is_used_for_the_same_words_and_dropped_for_others():
    mesh = CountingMesh()
    handler, calm = new_handler(mesh), judged("calm_supportive", intensity=0.9)
    await start(handler, mesh, "hello")
    assert await texts(handler, "hello", calm) == ["to hello"]
    assert mesh.asked == ["hello"]  # how strong the feeling is does not matter
    await start(handler, mesh, "hello")
    assert await texts(handler, "hello there", calm) == ["to hello there"]
    assert mesh.asked == ["hello", "hello", "hello there"]
    await start(handler, mesh, "hello")
    await handler.cancel_preemptive_reply()
    assert await texts(handler, "hello", calm) == ["to hello"]
    assert len(mesh.asked) == 5
    await mesh.close()


async def test_a_preemptive_reply_is_dropped_where_the_voice_said_something_else_than_the_words():
    mesh = CountingMesh()
    handler = new_handler(mesh)
    await start(handler, mesh, "hello")
    assert await texts(handler, "hello", judged("empathetic_sad", intensity=0.4)) == ["to hello"]
    assert mesh.asked == ["hello", "hello"]
    await mesh.close()


async def test_a_preemptive_reply_in_another_language_than_the_final_words_is_dropped():
    mesh = CountingMesh()
    handler = new_handler(mesh)
    await start(handler, mesh, "hallo")
    assert await texts(handler, "hallo", judged("calm_supportive", intensity=0.4), language="de") == ["to hallo"]
    assert mesh.asked == ["hallo", "hallo"]
    await mesh.close()


async def test_what_was_thrown_away_before_it_was_asked_leaves_nothing_behind():
    mesh = CountingMesh()
    handler = new_handler(mesh)
    await handler.start_preemptive_reply("hello", "en")
    await handler.cancel_preemptive_reply()
    assert mesh.asked == []
    await mesh.close()
