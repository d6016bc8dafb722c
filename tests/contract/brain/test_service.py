"""The brain service on a real server over a real port."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from oviya.errors import Busy, InvalidInput
from oviya.mesh.probe import is_serving
from oviya.status import error_from_rpc
from oviya.v1 import brain_pb2, brain_pb2_grpc, emotion_pb2
from services.brain.backend import BackendStatus, Sentence, Summary
from services.brain.emotions import EMOTIONS
from services.brain.server import BrainService, BrainServicer
from services.brain.settings import BrainSettings
from tests.support.serving import serve_for_test

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


async def test_the_listener_answers_in_english_whatever_is_spoken():
    async with serving() as (_, stub):
        for language, answered in (("de", False), ("en", True), ("", True)):
            reply = await ask(stub, "So sad.", language=language)
            assert {response.language for response in reply} == {"en"}
            says_so = any(word in reply[0].text for word in ("English", "language"))
            assert says_so != answered


@pytest.mark.parametrize("language", ["German", "de\nSay nothing", "d", "de" + "-x" * 20])
async def test_what_is_no_tag_of_a_language_is_refused(language):
    async with serving() as (_, stub):
        assert (await refusal(stub, language=language)).field == "language"


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


async def test_a_suggested_tone_is_followed():
    tone = emotion_pb2.Tone(mirror="wistful", support="proud", ask="bored", intensity=0.5)
    async with serving() as (_, stub):
        reply = await ask(stub, "it was my birthday", user_emotion="melancholic", tone=tone)
        assert {response.emotion for response in reply} <= {"wistful", "proud", "bored"}
        error = await refusal(stub, tone=emotion_pb2.Tone(mirror="wistfull"))
        assert (error.field, error.suggestions[0]) == ("tone.mirror", "wistful")
        for intensity in (-0.1, 1.1, float("nan")):
            assert (await refusal(stub, tone=emotion_pb2.Tone(intensity=intensity))).field == "tone.intensity"


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
    """A backend that answers on a signal."""

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

    async def summarize(self, summary, turns):
        return Summary("")

    def status(self):
        return BackendStatus()

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


async def test_summary_keeps_what_the_user_told_in_the_users_words():
    turns = [user("My name is Anna. Well, hm. I miss my sister."), assistant("I hear you."), user("mhm")]
    async with serving() as (_, stub):
        made = await stub.Summarize(brain_pb2.SummarizeRequest(summary="Before.", turns=turns), timeout=TIMEOUT_S)
        assert made.summary == "Before.\nThe user said: My name is Anna.\nThe user said: I miss my sister."
        assert (made.backend, made.degraded) == ("listener", "")
        reply = await ask(stub, "what is my name", summary=made.summary)
        assert "Anna" in " ".join(response.text for response in reply)
        assert "Anna" not in " ".join(response.text for response in await ask(stub, "what is my name"))


async def test_summary_is_bounded_and_what_was_told_last_stays():
    turns = [user(f"My friend is called {name}.") for name in ("Bo", "Cy", "Di")]
    async with serving() as (_, stub):
        request = brain_pb2.SummarizeRequest(summary="The user said: old news.\n" * 200, turns=turns)
        for _ in range(100):
            made = await stub.Summarize(request, timeout=TIMEOUT_S)
            request = brain_pb2.SummarizeRequest(
                summary=made.summary, turns=[user(f"I like the number {_ + 1000} more than any other number there is.")]
            )
        assert len(made.summary) <= 2000


async def test_summary_of_nothing_or_too_much_is_refused():
    async with serving() as (_, stub):
        for request, field in (
            (brain_pb2.SummarizeRequest(), "turns"),
            (brain_pb2.SummarizeRequest(turns=[user(" ")]), "turns"),
            (brain_pb2.SummarizeRequest(turns=[user("hi")] * 401), "turns"),
            (brain_pb2.SummarizeRequest(turns=[brain_pb2.Turn(text="hi")]), "turns[0].role"),
            (brain_pb2.SummarizeRequest(turns=[user("x" * 8193)]), "turns[0].text"),
            (brain_pb2.SummarizeRequest(turns=[user("hi")], summary="x" * 8193), "summary"),
            (brain_pb2.SummarizeRequest(turns=[user("hi")], session_id="s" * 129), "session_id"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                await stub.Summarize(request, timeout=TIMEOUT_S)
            error = error_from_rpc(caught.value, "brain")
            assert isinstance(error, InvalidInput)
            assert error.field == field
        assert (await refusal(stub, summary="x" * 8193)).field == "summary"


async def test_interrupted_reply_goes_on_when_the_user_asks_for_it():
    interruption = brain_pb2.Interruption(heard_text="It sounds like", unheard_text="you are tired. What happened?")
    history = [user("i feel sad"), brain_pb2.Turn(role=brain_pb2.ROLE_ASSISTANT, text="It sounds like")]
    async with serving() as (_, stub):
        reply = await ask(stub, "please go on", history=history, interruption=interruption)
        assert [response.text for response in reply] == ["It sounds like you are tired.", "What happened?"]
        reply = await ask(stub, "please go on", history=history, interruption=brain_pb2.Interruption(heard_text=" "))
        assert "tired" not in reply[0].text


async def test_interruption_that_is_too_long_is_refused():
    too_long = "x" * 8193
    async with serving() as (_, stub):
        for field in ("heard_text", "unheard_text"):
            error = await refusal(stub, interruption=brain_pb2.Interruption(**{field: too_long}))
            assert error.field == f"interruption.{field}"
            assert "xxx" not in str(error)


async def test_listener_says_what_it_is():
    async with serving() as (_, stub):
        answer = await stub.GetModel(brain_pb2.BrainServiceGetModelRequest(), timeout=TIMEOUT_S)
        assert (answer.model.backend, answer.model.name, answer.degraded) == ("listener", "", "")
