"""The brain service on a real server over a real port."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from oviya.errors import Busy, InvalidInput
from oviya.mesh.probe import is_serving
from oviya.mesh.testing import serve_for_test
from oviya.status import error_from_rpc
from oviya.v1 import brain_pb2, brain_pb2_grpc
from services.brain.backend import Sentence
from services.brain.emotions import EMOTIONS
from services.brain.server import BrainService, BrainServicer
from services.brain.settings import BrainSettings

TIMEOUT_S = 10


@asynccontextmanager
async def serving(**settings):
    async with serve_for_test(BrainService(BrainSettings(**settings))) as served:
        yield served, brain_pb2_grpc.BrainServiceStub(served.channel)


async def ask(stub, text: str, **fields) -> list[brain_pb2.ReplyResponse]:
    call = stub.Reply(brain_pb2.ReplyRequest(text=text, **fields), timeout=TIMEOUT_S)
    return [response async for response in call]


async def refusal(stub, text: str = "hello", **fields) -> InvalidInput:
    with pytest.raises(grpc.RpcError) as caught:
        await ask(stub, text, **fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    error = error_from_rpc(caught.value, "brain")
    assert isinstance(error, InvalidInput)
    return error


def user(text: str) -> brain_pb2.Turn:
    return brain_pb2.Turn(role=brain_pb2.ROLE_USER, text=text)


def assistant(text: str) -> brain_pb2.Turn:
    return brain_pb2.Turn(role=brain_pb2.ROLE_ASSISTANT, text=text)


async def test_it_is_serving_once_it_is_warm():
    async with serving() as (served, _):
        assert await asyncio.to_thread(is_serving, served.address, "oviya.v1.BrainService")


async def test_reply_streams_sentences_with_emotions():
    async with serving() as (_, stub):
        reply = await ask(stub, "what should i do when i feel sad and lonely", session_id="s1")
        assert [response.index for response in reply] == list(range(len(reply)))
        assert {response.backend for response in reply} == {"listener"}
        assert {response.emotion for response in reply} <= EMOTIONS
        assert "you feel sad and lonely" in reply[0].text.lower()
        assert reply == await ask(stub, "what should i do when i feel sad and lonely", session_id="s1")


async def test_history_and_user_emotion_are_used():
    async with serving() as (_, stub):
        history = [user("my name is anna"), assistant("Nice to meet you, Anna."), assistant(""), user("")]
        assert "Anna" in " ".join(response.text for response in await ask(stub, "what is my name", history=history))
        sad = await ask(stub, "it was my birthday", user_emotion="Melancholic")
        assert sad[0].emotion == "empathetic_sad"


async def test_bad_input_is_refused_and_the_next_call_works():
    async with serving() as (_, stub):
        for empty in ("", "  \n "):
            assert (await refusal(stub, empty)).field == "text"
        megabyte = await refusal(stub, "a" * (1 << 20))
        assert (megabyte.field, megabyte.value, megabyte.limit) == (
            "text", "1048576 characters", "at most 8192 characters",
        )  # fmt: skip
        assert (await refusal(stub, session_id="s" * 129)).field == "session_id"
        turns = await refusal(stub, history=[user("hi")] * 401)
        assert (turns.field, turns.value, turns.limit) == ("history", "401 turns", "at most 400 turns")
        long_turn = await refusal(stub, history=[user("hi"), assistant("b" * 8193)])
        assert (long_turn.field, long_turn.value) == ("history[1].text", "8193 characters")
        no_role = await refusal(stub, history=[brain_pb2.Turn(text="hi")])
        assert (no_role.field, no_role.limit) == ("history[0].role", "ROLE_USER or ROLE_ASSISTANT")
        emotion = await refusal(stub, user_emotion="melancholy")
        assert (emotion.field, emotion.value, emotion.suggestions[0]) == ("user_emotion", "melancholy", "melancholic")
        assert (await refusal(stub, user_emotion="x" * 1_000_000)).field == "user_emotion"
        assert await ask(stub, "a" * 8192)
        assert await ask(stub, "hello", history=[user("hi")] * 400)


async def test_what_people_say_is_not_in_an_error():
    async with serving() as (_, stub):
        assert "secret" not in str(await refusal(stub, "secret " * 2000))


class Waiting:
    """A backend that answers when it is told to."""

    name = "waiting"

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.closed = asyncio.Event()

    async def warm(self) -> None:
        pass

    async def reply(self, exchange):
        try:
            yield Sentence("One.", "neutral")
            await self.go.wait()
            yield Sentence("Two.", "neutral")
        finally:
            self.closed.set()

    async def close(self) -> None:
        pass


class WaitingService(BrainService):
    def __init__(self, settings: BrainSettings) -> None:
        super().__init__(settings)
        self.waiting = Waiting()

    def register(self, server):
        brain_pb2_grpc.add_BrainServiceServicer_to_server(BrainServicer(self.waiting, self.settings), server)


async def test_a_full_brain_says_busy_at_once_and_a_cancelled_reply_frees_its_slot():
    service = WaitingService(BrainSettings(max_replies=1))
    async with serve_for_test(service) as served:
        stub = brain_pb2_grpc.BrainServiceStub(served.channel)
        call = stub.Reply(brain_pb2.ReplyRequest(text="hello"), timeout=TIMEOUT_S)
        first = await call.read()  # each sentence leaves as soon as it is there
        assert isinstance(first, brain_pb2.ReplyResponse)
        assert first.text == "One."
        with pytest.raises(grpc.RpcError) as caught:
            await ask(stub, "hello")
        busy = error_from_rpc(caught.value, "brain")
        assert isinstance(busy, Busy)
        assert busy.retry_after_s > 0
        call.cancel()
        await asyncio.wait_for(service.waiting.closed.wait(), 2)
        service.waiting.go.set()
        assert [response.text for response in await ask(stub, "hello")] == ["One.", "Two."]
