"""A model that hangs, breaks off, says nothing or is not there: nothing stalls, nothing is lost, each is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.brain.backend import Exchange, Sentence, Turn
from services.brain.emotions import EMOTIONS
from services.brain.failover import INSTEAD
from services.brain.ollama.client import ModelMissing
from services.brain.server import make_backend
from tests.brain_with_ollama import REPLY, ask, brain, settings, total, until
from tests.gateway_mesh import free_port
from tests.ollama_server import Answer, OllamaServer

NAME = Exchange("what is my name", (Turn("user", "my name is anna"), Turn("assistant", "Nice to meet you, Anna.")))

FAULTS: dict[Any, tuple[str, str]] = {
    "hang": ("Timeout", "nothing came for 0.3 s"),
    "die": ("BadStream", "the connection broke"),
    "invalid json": ("BadStream", "invalid JSON"),
    "other shape": ("BadStream", "another shape"),
    "error": ("BadStream", "CUDA error"),
    "no end": ("BadStream", "broke off"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_before_the_first_sentence_is_answered_by_the_listener(fault):
    server, (kind, reason) = OllamaServer(), FAULTS[fault]
    server.say(Answer("[joy] I am", fault=fault))
    before = total("failures_total", backend="ollama", asked="reply", type=kind)
    async with brain(server) as backend:
        said = await ask(backend, NAME)
        assert reason in backend.condition().degraded
        assert total("degraded", backend="ollama") == 1
    assert "Anna" in " ".join(sentence.text for sentence in said)  # the listener knows what was said
    assert {sentence.backend for sentence in said} == {"listener"}
    assert reason in said[0].degraded
    assert said[0].degraded.endswith(INSTEAD)
    assert total("failures_total", backend="ollama", asked="reply", type=kind) == before + 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_in_the_middle_keeps_what_was_said_and_says_that_more_is_missing(fault):
    server, (_, reason) = OllamaServer(), FAULTS[fault]
    server.say(Answer("[joy] How nice. [curious] And what did your", fault=fault))
    async with brain(server) as backend:
        said = await ask(backend)
    assert [(s.text, s.emotion) for s in said[:2]] == [
        ("How nice.", "joyful_excited"), ("And what did your", "curious"),
    ]  # fmt: skip
    assert said[2].text == "Sorry, I lost my thread there."
    assert reason in said[2].degraded
    assert len(said) == 3


async def test_server_that_is_not_there_is_waited_for_and_used_once_it_is():
    port = free_port()
    backend = make_backend(settings(f"http://127.0.0.1:{port}"))
    try:
        await backend.warm()  # the service starts all the same
        said = await ask(backend)
        assert {sentence.backend for sentence in said} == {"listener"}
        assert f"no server answers at http://127.0.0.1:{port}" in said[0].degraded
        assert INSTEAD in backend.condition().degraded
        server = OllamaServer()
        server.say(REPLY)
        async with server.serving(port):
            await until(lambda: not backend.condition().degraded)
            assert (await ask(backend))[0] == Sentence("I am so sorry.", "empathetic_sad")
    finally:
        await backend.close()


async def test_hanging_server_costs_one_turn_its_time_out_and_not_every_one():
    server = OllamaServer()
    server.say(Answer("", fault="hang"))
    async with brain(server, retry_s=0.5) as backend:
        await ask(backend)
        again = await ask(backend)
        assert len(server.requests) == 1  # not asked again at once
        assert "nothing came" in again[0].degraded
        server.answers = [Answer(REPLY)]
        await asyncio.sleep(0.6)
        assert (await ask(backend))[0].backend == ""
        assert not backend.condition().degraded


async def test_full_server_is_asked_again_at_the_next_turn():
    server = OllamaServer()
    server.say(REPLY)
    async with brain(server) as backend:
        server.status = (503, "server busy, please try again.  maximum pending requests exceeded")
        assert "server busy" in (await ask(backend))[0].degraded
        server.status = None
        assert (await ask(backend))[0].text == "I am so sorry."


async def test_model_that_only_thinks_is_given_up():
    server = OllamaServer()
    server.say(Answer(thinking=["hm"] * 10_000, tokens_a_second=200))
    async with brain(server, first_sentence_s=0.5) as backend:
        said = await ask(backend)
    assert "no sentence came within 0.5 s" in said[0].degraded


@pytest.mark.parametrize("empty", ["", "   \n", "[joy]", "...", "<think>nothing</think>"])
async def test_empty_reply_is_answered_by_the_listener(empty):
    server = OllamaServer()
    server.say(empty)
    async with brain(server) as backend:
        said = await ask(backend)
    assert said
    assert "nothing to say" in said[0].degraded


async def test_unknown_emotion_is_replaced_and_counted():
    server = OllamaServer()
    server.say("[flabbergasted] I did not know that. [xyzzy] Tell me more?")
    before = total("emotion_tags_total", kind="unknown")
    async with brain(server) as backend:
        said = await ask(backend)
    assert [s.text for s in said] == ["I did not know that.", "Tell me more?"]
    assert {s.emotion for s in said} <= EMOTIONS
    assert total("emotion_tags_total", kind="unknown") == before + 2


async def test_ten_thousand_tokens_without_a_full_stop_come_out_in_pieces():
    server = OllamaServer()
    tokens = [f" word{number}" for number in range(10_000)]
    server.say(Answer(tokens, fault="none"))
    async with brain(server) as backend:
        said = await ask(backend)
    assert sum(len(s.text.split()) for s in said) >= 10_000
    assert "nine thousand nine hundred and ninety-nine" in said[-1].text
    assert not any(s.degraded for s in said)


async def test_only_emoji_is_said_by_name():
    server = OllamaServer()
    server.say("\U0001f600\U0001f680")
    async with brain(server) as backend:
        assert [s.text for s in await ask(backend)] == ["grinning face, rocket"]


async def test_cut_reply_is_counted():
    server = OllamaServer()
    server.say(Answer("[joy] It goes on and", done_reason="length"))
    before = total("cut_replies_total")
    async with brain(server) as backend:
        assert [s.text for s in await ask(backend)] == ["It goes on and"]
    assert total("cut_replies_total") == before + 1


async def test_missing_model_stops_the_start_with_a_clear_error():
    server = OllamaServer(models={})
    with pytest.raises(ModelMissing, match=r"llama3\.2 is not there; `ollama pull llama3\.2`, or set "):
        async with brain(server):
            pass
    assert server.pulls == 0


async def test_missing_model_is_pulled_where_that_is_allowed_and_the_listener_answers_meanwhile():
    server = OllamaServer(models={}, library={"llama3.2:latest": ["completion"]})
    server.say(REPLY)
    async with brain(server, ollama_pull=True, retry_s=0.001) as backend:
        seen: set[str] = set()
        while backend.condition().degraded:
            seen.add(backend.condition().degraded)
            await asyncio.sleep(0.001)
        assert any("is being downloaded: pulling" in step and "%" in step for step in seen)
        assert (await ask(backend))[0].text == "I am so sorry."
    assert server.pulls == 1


async def test_broken_download_is_tried_again():
    server = OllamaServer(models={}, library={"llama3.2:latest": ["completion"]})
    server.pull_fault = "die"
    server.say(REPLY)
    async with brain(server, ollama_pull=True, retry_s=0.1) as backend:
        await until(lambda: server.pulls == 2)
        assert "the download ended before it was complete" in (await ask(backend))[0].degraded
        server.pull_fault = "none"
        await until(lambda: not backend.condition().degraded)
        assert (await ask(backend))[0].text == "I am so sorry."


async def test_model_that_nobody_has_is_named_with_its_setting():
    server = OllamaServer(models={}, library={})
    async with brain(server, ollama_pull=True) as backend:
        degraded = (await ask(backend))[0].degraded
    assert "the model llama3.2 cannot be downloaded (pull model manifest: file does not exist)" in degraded
    assert "BRAIN_OLLAMA_MODEL" in degraded


async def test_model_that_goes_missing_later_is_got_again():
    server = OllamaServer(library={"llama3.2:latest": ["completion"]})
    server.say(REPLY)
    async with brain(server, ollama_pull=True) as backend:
        server.models.clear()
        assert "is not there" in (await ask(backend))[0].degraded
        await until(lambda: not backend.condition().degraded)
        assert (await ask(backend))[0].text == "I am so sorry."
