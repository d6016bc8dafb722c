"""Functions that the model calls, and how they fail."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from oviya.errors import OviyaError
from services.brain.backend import Sentence
from tests.brain_with_ollama import REPLY, SAD, ask, brain, settings
from tests.ollama_server import Answer, OllamaServer, tool_server


def weather(url: str, **changes: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"name": "weather", "description": "The weather of a city", "parameters": parameters, "url": url, **changes}


async def test_tool_is_called_and_its_answer_spoken():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo"})]), "[joy] It is 22\u00b0C in Oslo.")
    async with tool_server({"celsius": 22}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        said = await ask(backend)
    assert said == [Sentence("It is twenty-two degrees Celsius in Oslo.", "joyful_excited")]
    assert tool.asked == [{"city": "Oslo"}]
    assert server.requests[0]["tools"][0]["function"]["name"] == "weather"
    called, answered = server.requests[1]["messages"][-2:]
    assert called["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
    assert answered == {"role": "tool", "tool_name": "weather", "content": '{"celsius": 22}'}


async def test_tool_may_be_asked_by_get():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo", "days": 2})]), "[joy] It is warm.")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url, method="GET")]) as backend:
        await ask(backend)
    assert tool.asked == [{"city": "Oslo", "days": "2"}]


async def test_slow_tool_is_covered_by_a_sentence():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo"})]), "[joy] It is warm.")
    changes = {"tool_filler_after_s": 0.05, "tool_fillers": ["One moment."]}
    async with tool_server({}, delay_s=0.4) as tool, brain(server, tools=[weather(tool.url)], **changes) as backend:
        assert [s.text for s in await ask(backend)] == ["One moment.", "It is warm."]


async def test_text_before_a_call_is_spoken_first():
    server = OllamaServer()
    server.say(Answer("[curious] Let me see", calls=[("weather", {"city": "Oslo"})]), "[joy] It is warm.")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        assert [s.text for s in await ask(backend)] == ["Let me see", "It is warm."]


@pytest.mark.parametrize(
    ("calls", "served", "changes", "reason"),
    [
        ([("weather", {"city": "Oslo"})], {"status": 500}, {}, "HTTP 500"),
        ([("weather", {"city": "Oslo"})], {"delay_s": 5.0}, {"timeout_s": 0.1}, "no answer came within 0.1 s"),
        ([("weather", {"city": "Oslo"})], {"answer": "x" * 1000}, {"max_bytes": 100}, "larger than 100 bytes"),
        ([("weather", {"town": "Oslo"})], {}, {}, "'city' is a required property"),
        ([("weather", {"city": 5})], {}, {}, "city: 5 is not of type 'string'"),
        ([("wether", {})], {}, {}, "there is no such tool; there are: weather"),
        ([("weather", {"city": "Oslo"})], {}, {"url": "http://127.0.0.1:1/tool"}, "cannot be reached"),
    ],
)
async def test_tool_that_fails_is_told_to_the_model_and_to_the_caller(calls, served, changes, reason):
    server = OllamaServer()
    server.say(Answer(calls=calls), "[apologetic] I cannot see the weather.")
    async with tool_server(**served) as tool, brain(server, tools=[{**weather(tool.url), **changes}]) as backend:
        said = await ask(backend)
    assert [s.text for s in said][-1] == "I cannot see the weather."
    assert any(reason in s.degraded for s in said)
    assert reason in json.loads(server.requests[1]["messages"][-1]["content"])["error"]


async def test_model_that_never_stops_calling_has_to_answer():
    server = OllamaServer()
    server.say(*[Answer(calls=[("weather", {"city": "Oslo"})])] * 3, "[joy] It is warm.")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url)], tool_rounds=2) as backend:
        said = await ask(backend)
        assert len(tool.asked) == 2
        assert not server.requests[2].get("tools")
    # the third answer was another call, which counts as none: the listener answers
    assert said[0].backend == "listener"


async def test_too_many_calls_at_once_are_refused():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo"})] * 5), "[joy] It is warm.")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url)], tool_calls=2) as backend:
        await ask(backend)
        assert len(tool.asked) == 2
    answers = [m["content"] for m in server.requests[1]["messages"] if m["role"] == "tool"]
    assert len(answers) == 5
    assert answers[-1] == "not called: at most 2 tools are called at once"


async def test_model_that_cannot_call_is_offered_none_and_that_is_told():
    server = OllamaServer(models={"llama3.2:latest": ["completion"]})
    server.say(REPLY)
    async with brain(server, tools=[weather("http://127.0.0.1:1/")]) as backend:
        assert "cannot call tools" in backend.condition().degraded
        assert (await ask(backend))[0].text == "I am so sorry."
    assert not server.requests[0].get("tools")


async def test_caller_who_leaves_stops_the_tool():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo"})]), REPLY)
    async with (
        tool_server({}, delay_s=3600) as tool,
        brain(server, tools=[weather(tool.url, timeout_s=60)], tool_filler_after_s=0.01) as backend,
        asyncio.timeout(5),
        aclosing(backend.reply(SAD)) as sentences,
    ):
        await anext(sentences)


@pytest.mark.parametrize(
    "wrong",
    [{"url": "ftp://x"}, {"name": "two words"}, {"parameters": {"type": "string"}}, {"timeout_s": 0},
     {"parameters": {"type": "object", "properties": {"a": {"type": "zzz"}}}}, {"colour": "red"}],
)  # fmt: skip
def test_wrong_declaration_is_refused_at_the_start(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        settings("http://x", tools=[{**weather("http://x/"), **wrong}])


def test_tools_come_from_a_file_too(tmp_path):
    file = tmp_path / "tools.json"
    file.write_text(json.dumps([weather("http://x/", name="other")]))
    both = settings("http://x", tools=[weather("http://x/")], tools_file=file)
    assert [tool.name for tool in both.all_tools()] == ["weather", "other"]
    file.write_text(json.dumps([weather("http://x/")]))
    with pytest.raises(OviyaError, match="two tools are named weather"):
        both.all_tools()
    with pytest.raises(ValueError, match="cannot be read"):
        settings("http://x", tools_file=tmp_path / "none.json")
