"""Tool calls written as text, in the formats of many templates, with the stream cut at every position."""

from __future__ import annotations

import pytest

from services.brain.ollama.client import ToolCall
from services.brain.ollama.output.output_parser import OutputParser
from tests.support.output_parser import parse

PARIS = ToolCall("weather", {"city": "Paris"})
CALLS = [
    '{"name":"weather","parameters":{"city":"Paris"}}',
    '{"name": "weather", "arguments": {"city": "Paris"}}',
    '{"arguments": {"city": "Paris"}, "name": "weather"}',
    '{"tool": "weather", "args": {"city": "Paris"}}',
    '{"action": "weather", "action_input": {"city": "Paris"}}',
    '{"function": "weather", "input": {"city": "Paris"}}',
    '{"type":"function","function":{"name":"weather","arguments":"{\\"city\\": \\"Paris\\"}"}}',
    '{"tool_calls":[{"function":{"name":"weather","arguments":{"city": "Paris"}}}]}',
    '{\n  "name": "weather",\n  "parameters": {\n    "city": "Paris"\n  }\n}',
    '[{"name": "weather", "arguments": {"city": "Paris"}}]',
    '```json\n{"name": "weather", "arguments": {"city": "Paris"}}\n```',
    '```\n{"name": "weather", "arguments": {"city": "Paris"}}\n```',
    '```tool_code\nweather(city="Paris")\n```',
    "{'name': 'weather', 'parameters': {'city': 'Paris'}}",
    '{"name": "weather", "parameters": {"city": "Paris"}',
    '{"name": "weather", "parameters": {"city": "Paris",},}',
    '{"weather": {"city": "Paris"}}',
    '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>',
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}',
    '<TOOL_CALL>{"name": "weather", "arguments": {"city": "Paris"}}</TOOL_CALL>',
    '<function_call>{"name": "weather", "arguments": {"city": "Paris"}}</function_call>',
    '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Paris"}}]',
    '[TOOL_CALLS]weather[ARGS]{"city": "Paris"}',
    '<function=weather>{"city": "Paris"}</function>',
    "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
    "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>",
    '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Paris</parameter>\n</invoke>\n'
    "</minimax:tool_call>",
    '<|python_tag|>{"name": "weather", "parameters": {"city": "Paris"}}<|eom_id|>',
    '<|python_tag|>weather.call(city="Paris")',
    'functions.weather({"city": "Paris"})',
    'functions.weather{"city": "Paris"}',
    'weather(city="Paris")',
    '[weather(city="Paris")]',
    "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>weather\n"
    '```json\n{"city": "Paris"}\n```<\uff5ctool\u2581call\u2581end\uff5c><\uff5ctool\u2581calls\u2581end\uff5c>',
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>',
    '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city":"Paris"}<|call|>',
    '<|start|>assistant to=functions.weather<|channel|>commentary<|message|>{"city":"Paris"}<|call|>',
    '<|tool_call>call:weather{city:<|"|>Paris<|"|>}<tool_call|>',
    '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "weather", "parameters": {"city": "Paris"}}]<|END_ACTION|>',
]


def read(text: str, step: int, tools: tuple[str, ...] = ("weather",)) -> tuple[list[str], OutputParser]:
    said, parser = parse(text, step=step, tools=tools)
    return [sentence.text for sentence in said], parser


@pytest.mark.parametrize("step", [1, 2, 5, 11, 100_000])
@pytest.mark.parametrize("text", CALLS)
def test_call_is_parsed_and_never_spoken(text, step):
    said, parser = read(text, step)
    assert said == []
    assert parser.answer.tool_calls == (PARIS,)
    assert not parser.answer.unreadable_calls


NEEDS_NAMES = ('{"weather": {', "weather(", "[weather(", "```tool_code")
"""Calls that can only be recognized by the names of the tools."""


@pytest.mark.parametrize("text", [text for text in CALLS if not text.startswith(NEEDS_NAMES)])
def test_without_tools_a_call_is_not_spoken_either(text):
    said, parser = read(text, 3, tools=())
    assert said == []
    assert parser.answer.tool_calls or parser.answer.unreadable_calls


@pytest.mark.parametrize("step", [1, 4, 100_000])
def test_text_around_calls_is_spoken_and_every_call_is_parsed(step):
    text = f"[curious] Let me look. {CALLS[0]}\n{CALLS[0].replace('Paris', 'Rome')} One moment."
    said, parser = read(text, step)
    assert said == ["Let me look.", "One moment."]
    assert [call.arguments["city"] for call in parser.answer.tool_calls] == ["Paris", "Rome"]


@pytest.mark.parametrize("step", [1, 4, 100_000])
@pytest.mark.parametrize(
    "text",
    ["The weather (I think) is nice.", "I like {curly braces} a lot.", 'He said {"yes"} twice.', "The set {1, 2}.",
     "Call weather(s) what you will.", "[joy] I am glad {really}.", 'My {"name": "Anna", "age": 3} is data.'],
)  # fmt: skip
def test_ordinary_text_with_braces_is_spoken(text, step):
    said, parser = read(text, step)
    assert "".join(said).strip()
    assert parser.answer.text == text
    assert not parser.answer.tool_calls
    assert not parser.answer.unreadable_calls


@pytest.mark.parametrize(
    "text",
    ['{"name": "weather", "parameters": {"city": Paris Texas}}', '{"name": weather, "arguments": "no JSON"',
     '<tool_call>{"name": </tool_call>'],
)  # fmt: skip
def test_unreadable_call_is_counted_and_not_spoken(text):
    said, parser = read(text, 3)
    assert said == []
    assert parser.answer.unreadable_calls == 1


def test_call_in_thinking_is_ignored():
    said, parser = read(f"<think>I could {CALLS[0]} or <tool_call>{CALLS[0]}</tool_call></think>Hello!", 3)
    assert said == ["Hello!"]
    assert parser.answer.tool_calls == ()
