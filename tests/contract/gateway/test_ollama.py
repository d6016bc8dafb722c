"""A conversation through the gateway with the brain's model: answered, told when it fails, and remembered."""

from __future__ import annotations

import asyncio

from services.brain.server import BrainService
from services.brain.settings import BrainSettings
from tests.support.gateway_mesh import gateway_with
from tests.support.ollama_server import Answer, OllamaServer


def brain_of(server: OllamaServer) -> BrainService:
    return BrainService(BrainSettings(backend="ollama", ollama_url=server.url, token_gap_s=0.3, retry_s=0.1))


async def test_conversation_goes_on_when_the_model_fails_and_the_failure_is_told():
    server = OllamaServer()
    server.say(
        "[joyful_excited] Hello Anna. [curious] How are you?",
        Answer("[tender] I am sorry. I was", fault="die"),
        Answer("", fault="error"),
        "[relieved] There I am again.",
    )
    async with server.serving(), gateway_with(brain_of(server), model_refresh_s=0.02) as gateway:
        turns = ["my name is anna", "i am sad", "what is my name", "are you back"]
        answered = [asyncio.Event() for _ in turns]

        def told(event) -> None:
            if event.HasField("reply_ended"):
                answered[event.turn].set()

        requests = [turns[0], answered[0].wait(), turns[1], answered[1].wait(), turns[2], answered[2].wait(), turns[3]]
        async with asyncio.timeout(60):
            heard = await gateway.converse(*requests, until=told)
    said = {
        turn: [(e.reply_sentence.text, e.reply_sentence.plan.emotion) for e in heard.events
               if e.turn == turn and e.HasField("reply_sentence")]
        for turn in range(4)
    }  # fmt: skip
    assert said[0] == [("Hello Anna.", "joyful_excited"), ("How are you?", "curious")]
    assert [text for text, _ in said[1]] == ["I am sorry.", "I was", "Sorry, I lost my thread there."]
    assert "Anna" in " ".join(text for text, _ in said[2])  # by the listener
    assert said[3] == [("There I am again.", "relieved")]
    assert not heard.of("turn_failed")
    told_of_brain = [event.degraded.message for event in heard.events
                     if event.HasField("degraded") and event.degraded.service == "brain"]  # fmt: skip
    assert any("the connection broke" in message for message in told_of_brain)
    # the model gets what was said, by whoever said it
    history = [message["content"] for message in server.requests[-1]["messages"]]
    assert any("Sorry, I lost my thread there." in content for content in history)


async def test_older_turns_reach_the_model_as_a_summary_that_it_made():
    server = OllamaServer()
    server.say("[curious] Go on.")
    async with server.serving(), gateway_with(brain_of(server), history_turns=2, max_waiting_turns=20) as gateway:
        async with asyncio.timeout(60):
            await gateway.converse("my name is anna", "i like painting", "it rains", "and now", "what do you know")
    summaries = [request for request in server.requests if "keep the memory" in request["messages"][0]["content"]]
    assert "User: my name is anna" in summaries[0]["messages"][-1]["content"]
    last = [request for request in server.requests if request not in summaries][-1]["messages"]
    assert last[1]["content"].endswith("\n> Go on.")
    assert "Go on." not in last[0]["content"]  # what was said gives no orders
    assert not any("my name is anna" in message["content"] for message in last)
