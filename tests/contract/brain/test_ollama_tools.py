"""Tool calls of the model, and their failures."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from oviya.errors import OviyaError
from services.brain.backend import Sentence
from services.brain.ollama.client import ToolCall
from services.brain.ollama.tools.tool_executor import ToolExecutor
from services.brain.settings import BrainSettings
from services.brain.tool_spec import ToolSpec
from tests.support.brain_with_ollama import REPLY, SAD, ask, brain, settings
from tests.support.metrics import metric
from tests.support.ollama_server import Answer, OllamaServer, tool_server


def weather(url: str, **changes: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"name": "weather", "description": "The weather of a city", "parameters": parameters, "url": url, **changes}


async def test_tool_is_called_and_its_answer_spoken():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo"})]), "[joy] It is 22\u00b0C in Oslo.")
    async with tool_server({"celsius": 22}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        said = await ask(backend)
    assert said == [Sentence("It is 22\u00b0C in Oslo.", "joyful_excited")]
    assert said[0].spoken == "It is twenty-two degrees Celsius in Oslo."
    assert tool.asked == [{"city": "Oslo"}]
    assert server.requests[0]["tools"][0]["function"]["name"] == "weather"
    called, answered = server.requests[1]["messages"][-2:]
    assert called["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
    assert answered == {"role": "tool", "tool_name": "weather", "content": '{"celsius": 22}'}


async def test_tool_can_be_called_by_get():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo", "days": 2, "unit": None})]), "[joy] It is warm.")
    properties = {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {}}
    changes = {"method": "GET", "parameters": {"type": "object", "properties": properties}}
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url, **changes)]) as backend:
        await ask(backend)
    assert tool.asked == [{"city": "Oslo", "days": "2"}]


@pytest.mark.parametrize("arguments", [{"city": "Oslo & K\u00f8ln"}, {}])
async def test_get_keeps_the_query_of_the_address(arguments):
    server = OllamaServer()
    server.say(Answer(calls=[("weather", arguments)]), "[joy] It is warm.")
    changes = {"method": "GET", "parameters": {"type": "object", "properties": {"city": {}}}}
    async with (
        tool_server({}) as tool,
        brain(server, tools=[weather(f"{tool.url}?key=a%20b&units=metric", **changes)]) as backend,
    ):
        await ask(backend)
    assert tool.asked == [{"key": "a b", "units": "metric", **arguments}]


DECLARED = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("schema", [DECLARED, {**DECLARED, "additionalProperties": False},
                                    {"type": "object", "allOf": [DECLARED]}])  # fmt: skip
async def test_undeclared_argument_is_refused(schema, method):
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo", "key": "mine"})]), "[apologetic] I cannot see it.")
    async with (
        tool_server({}) as tool,
        brain(server, tools=[weather(tool.url, parameters=schema, method=method)]) as backend,
    ):
        said = await ask(backend)
    assert tool.asked == []
    assert "'key' was unexpected" in said[0].degraded
    assert "'key' was unexpected" in json.loads(server.requests[1]["messages"][-1]["content"])["error"]


async def test_undeclared_argument_passes_if_the_schema_allows_it():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo", "key": "mine"})]), "[joy] It is warm.")
    schema = {**DECLARED, "additionalProperties": {"type": "string"}}
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url, parameters=schema)]) as backend:
        await ask(backend)
    assert tool.asked == [{"city": "Oslo", "key": "mine"}]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_any_failure_of_a_call_is_reported_to_the_model(method, monkeypatch):
    tools = ToolExecutor([ToolSpec(**weather("http://127.0.0.1:1/tool", method=method))])
    try:
        half = await tools.call(ToolCall("weather", {"city": "\ud800"}))
        assert "cannot be sent" in half.failure or "cannot be reached" in half.failure
        for error in (httpx.InvalidURL("x"), UnicodeEncodeError("ascii", "x", 0, 1, "secret"), RuntimeError("secret"),
                      KeyError("secret")):  # fmt: skip

            async def fail(*_: Any, error: Exception = error) -> str:
                raise error

            monkeypatch.setattr(tools, "_fetch", fail)
            failed = await tools.call(ToolCall("weather", {"city": "Oslo"}))
            assert failed.failure
            assert "secret" not in failed.failure + failed.content
    finally:
        await tools.close()


async def test_private_tool_is_called_without_a_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with tool_server({"celsius": 22}) as tool:
        tools = ToolExecutor([ToolSpec(**weather(tool.url))])
        try:
            assert not (await tools.call(ToolCall("weather", {"city": "Oslo"}))).failure
        finally:
            await tools.close()


WRITTEN = '{"name": "weather", "parameters": {"city": "Paris"}}'


@pytest.mark.parametrize(
    "written", [WRITTEN, f"[curious] Let me look.\n```json\n{WRITTEN}\n```", f"<tool_call>{WRITTEN}</tool_call>",
                f"[TOOL_CALLS] [{WRITTEN}]", "<function=weather>{\"city\": \"Paris\"}</function>"],
)  # fmt: skip
async def test_written_call_is_executed_and_not_spoken(written):
    server = OllamaServer()
    server.say(Answer(list(written)), "[joy] It is warm in Paris.")
    before = metric("brain_written_calls_total", outcome="called")
    async with tool_server({"celsius": 22}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        said = await ask(backend)
    assert tool.asked == [{"city": "Paris"}]
    assert [s.text for s in said if s.text != "Let me look."] == ["It is warm in Paris."]
    called, answered = server.requests[1]["messages"][-2:]
    assert called["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]
    assert "weather" not in called.get("content", "")
    assert answered["content"] == '{"celsius": 22}'
    assert metric("brain_written_calls_total", outcome="called") == before + 1


async def test_call_that_the_server_parsed_as_well_is_executed_once():
    server = OllamaServer()
    server.say(Answer(WRITTEN, calls=[("weather", {"city": "Paris"})]), "[joy] It is warm.")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        await ask(backend)
    assert len(tool.asked) == 1


@pytest.mark.parametrize("written", [WRITTEN.replace("weather", "search"), WRITTEN.replace("city", "town"),
                                     '{"name": "weather", "arguments": {city Paris}}'])  # fmt: skip
async def test_invalid_written_call_next_to_an_answer_is_reported_and_not_spoken(written):
    server = OllamaServer()
    server.say(f"[tender] I am here.\n{written}\n[curious] What happened")
    before = metric("brain_written_calls_total", outcome="dropped")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        said = await ask(backend)
    assert [s.text for s in said] == ["I am here.", "What happened"]
    assert "a tool call as text" in said[1].degraded
    assert (tool.asked, len(server.requests)) == ([], 1)
    assert metric("brain_written_calls_total", outcome="dropped") == before + 1


async def test_invalid_written_call_alone_is_returned_to_the_model_as_an_error():
    server = OllamaServer()
    server.say(WRITTEN.replace("city", "town"), WRITTEN, "[joy] It is warm.")
    async with tool_server({}) as tool, brain(server, tools=[weather(tool.url)]) as backend:
        said = await ask(backend)
    assert tool.asked == [{"city": "Paris"}]
    assert said[-1].text == "It is warm."
    assert "error" in json.loads(server.requests[1]["messages"][-1]["content"])


async def test_without_tools_a_written_call_is_not_spoken_and_the_listener_answers():
    server = OllamaServer()
    server.say(WRITTEN)
    async with brain(server) as backend:
        said = await ask(backend)
    assert said[0].backend == "listener"
    assert "a tool call written as text" in said[0].degraded
    assert not any("Paris" in s.text for s in said)


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
async def test_failure_of_a_tool_is_reported_to_the_model_and_the_caller(calls, served, changes, reason):
    server = OllamaServer()
    server.say(Answer(calls=calls), "[apologetic] I cannot see the weather.")
    async with tool_server(**served) as tool, brain(server, tools=[{**weather(tool.url), **changes}]) as backend:
        said = await ask(backend)
    assert [s.text for s in said][-1] == "I cannot see the weather."
    assert any(reason in s.degraded for s in said)
    assert reason in json.loads(server.requests[1]["messages"][-1]["content"])["error"]


async def test_model_that_never_stops_calling_gets_no_tools_in_the_last_round():
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


async def test_model_that_cannot_call_tools_is_offered_none_and_is_degraded():
    server = OllamaServer(models={"llama3.2:latest": ["completion"]})
    server.say(REPLY)
    async with brain(server, tools=[weather("http://127.0.0.1:1/")]) as backend:
        assert "cannot call tools" in backend.status().degraded
        assert (await ask(backend))[0].text == "I am so sorry."
    assert not server.requests[0].get("tools")


async def test_cancelled_reply_stops_the_tool():
    server = OllamaServer()
    server.say(Answer(calls=[("weather", {"city": "Oslo"})]), REPLY)
    async with (
        tool_server({}, delay_s=3600) as tool,
        brain(server, tools=[weather(tool.url, timeout_s=60)], tool_filler_after_s=0.01) as backend,
        asyncio.timeout(20),
        aclosing(backend.reply(SAD)) as sentences,
    ):
        await anext(sentences)


@pytest.mark.parametrize(
    "wrong",
    [{"url": "ftp://x"}, {"name": "two words"}, {"parameters": {"type": "string"}}, {"timeout_s": 0},
     {"parameters": {"type": "object", "properties": {"a": {"type": "zzz"}}}}, {"colour": "red"},
     {"url": "http://x/\u00e9"}, {"url": "http://"}, {"url": "http://[::1"}, {"url": "http://x:port/"},
     {"url": "http://x y/"},
     {"headers": {"X-Key": "\u00e9"}}, {"headers": {"X-Key": "a\nb"}}, {"headers": {"X Key": "a"}},
     {"headers": {"X-\u00e9": "a"}}],
)  # fmt: skip
def test_wrong_declaration_is_refused_at_the_start(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        settings("http://x", tools=[{**weather("http://x/"), **wrong}])


@pytest.mark.parametrize("given", ["", "  ", "[]"])
def test_empty_setting_means_no_tools(given, monkeypatch):
    monkeypatch.setenv("BRAIN_TOOLS", given)
    monkeypatch.setenv("BRAIN_TOOLS_FILE", "")
    monkeypatch.setenv("BRAIN_TOOL_FILLERS", given)
    assert BrainSettings().all_tools() == []
    assert BrainSettings().tool_fillers == []


@pytest.mark.parametrize("given", ['[{"headers": {"Authorization": "secret"', '{"headers": "secret"}', "secret"])
def test_setting_must_be_a_json_list_and_is_not_quoted_in_the_error(given, monkeypatch):
    monkeypatch.setenv("BRAIN_TOOLS", given)
    with pytest.raises(ValueError, match="tools") as refused:
        BrainSettings()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [{"timeout_s": -1}, {"colour": "red"}, {"headers": {"Authorization": "secret\u00e9"}}, {"url": "ftp://u:secret@x"}],
)
def test_secrets_of_a_tool_are_in_no_error_and_no_representation(wrong):
    declared = weather("http://u:secret@x/?key=secret", headers={"Authorization": "Bearer secret"})
    assert "secret" not in repr(settings("http://x", tools=[declared]))
    with pytest.raises(ValueError, match=next(iter(wrong))) as refused:
        settings("http://x", tools=[{**declared, **wrong}])
    assert "secret" not in str(refused.value)


async def test_headers_are_sent():
    async with tool_server({}) as tool:
        tools = ToolExecutor([ToolSpec(**weather(tool.url, headers={"Authorization": "Bearer abc"}))])
        try:
            await tools.call(ToolCall("weather", {"city": "Oslo"}))
        finally:
            await tools.close()
        assert tool.headers["Authorization"] == "Bearer abc"


def test_tools_can_come_from_a_file(tmp_path):
    file = tmp_path / "tools.json"
    file.write_text(json.dumps([weather("http://x/", name="other")]))
    both = settings("http://x", tools=[weather("http://x/")], tools_file=file)
    assert [tool.name for tool in both.all_tools()] == ["weather", "other"]
    file.write_text(json.dumps([weather("http://x/")]))
    with pytest.raises(OviyaError, match="two tools are named weather"):
        both.all_tools()
    with pytest.raises(ValueError, match="cannot be read"):
        settings("http://x", tools_file=tmp_path / "none.json")
