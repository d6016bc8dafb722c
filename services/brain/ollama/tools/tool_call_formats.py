"""Parses tool calls that a model writes as text, in the format of its template or in one that it invents.

Known formats: a JSON object with a name and arguments, alone, in a list, in a code block or between markers; formats
of Qwen3-Coder, GLM, MiniMax, DeepSeek, Kimi, Mistral and gpt-oss; Python calls.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from services.brain.ollama.client import ToolCall

MAX_CALL_CHARS = 16_384
"""Longest text that is parsed."""
MAX_CALLS = 16
"""Most calls in one text."""

NAMESPACE = "functions."
"""A name with this prefix is a function to call, declared or not."""
MAX_NAME_CHARS = 80

_NAME_KEYS = ("name", "tool", "tool_name", "function", "function_name", "action", "recipient_name", "api", "tool_call")
_ARGUMENT_KEYS = (
    "arguments", "parameters", "args", "params", "input", "kwargs", "action_input", "tool_input", "inputs", "parameter",
    "argument", "tool_args", "function_args",
)  # fmt: skip
_WRAPPERS = ("tool_calls", "function_call", "function_calls", "tool_call", "calls", "tool_uses", "tools", "function")
NAME_OF_TOOL = re.compile(rf"[A-Za-z_][\w.:-]{{0,{MAX_NAME_CHARS}}}")
_BRACKET = re.compile(r"[{\[]")
_PREFIX = re.compile(r"(?:(?:functions?|tools?|default_api|api|call|multi_tool_use)[.:])+")
_INDEX = re.compile(r":\d+$|\.call$")
_LIKE_NAME = re.compile(rf"[\"'](?:{'|'.join(_NAME_KEYS)}|tool_calls|function_call)[\"']\s*:")
_LIKE_ARGUMENTS = re.compile(rf"[\"'](?:{'|'.join(_ARGUMENT_KEYS)})[\"']\s*:")

_FUNCTION = re.compile(r"<(?:function|invoke|tool_use|use_tool)(?:\s*=\s*|\s+name\s*=\s*)[\"']?([\w.:-]+)[\"']?\s*>")
_FUNCTION_END = re.compile(r"</(?:function|invoke|tool_use|use_tool)\s*>")
_PARAMETER = re.compile(r"<(?:parameter|param|arg)(?:\s*=\s*|\s+name\s*=\s*)[\"']?([\w.:-]+)[\"']?\s*>([^<]*)")
_PAIR = re.compile(r"<arg_key>([^<]*)</arg_key>\s*<arg_value>([^<]*)")
_CALL = re.compile(rf"([A-Za-z_][\w.:]{{0,{MAX_NAME_CHARS}}}+)\s*+\(")
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)\s*:")
_FENCE = re.compile(r"```\w*|~~~\w*")


def looks_like_call(text: str) -> bool:
    """Whether JSON, valid or not, has the keys of a tool call."""
    return _LIKE_NAME.search(text) is not None and _LIKE_ARGUMENTS.search(text) is not None


def parse_tool_calls(text: str, names: Collection[str], recipient: str = "") -> list[ToolCall]:
    """The tool calls in `text`; empty: none can be parsed.

    Args:
        text: a complete call, without the markers around it.
        names: the declared tools.  Calls of other tools are parsed if the format is unambiguous.
        recipient: the tool named in the marker before the text; empty: none.
    """
    text = _FENCE.sub("\x1f", text[:MAX_CALL_CHARS]).strip(" \t\r\n\x1f")
    if recipient:
        value = _first_value(text)
        return [ToolCall(_plain_name(recipient, names), value if isinstance(value, dict) else {})]
    for read in (_read_tags, _read_json, _read_python):
        if calls := list(read(text, names))[:MAX_CALLS]:
            return calls
    return []


def _read_tags(text: str, names: Collection[str]) -> Iterator[ToolCall]:
    """<function=weather><parameter=city>Paris</parameter></function>, and GLM's <arg_key>."""
    starts = list(_FUNCTION.finditer(text))
    for number, start in enumerate(starts):
        limit = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        end = _FUNCTION_END.search(text, start.end(), limit)
        body = text[start.end() : end.start() if end else limit]
        arguments: Any = {name: _value(value) for name, value in _PARAMETER.findall(body)}
        if not arguments:
            arguments = _first_value(body)
        yield ToolCall(_plain_name(start[1], names), arguments if isinstance(arguments, dict) else {})
    if not starts and "<arg_key>" in text and (name := NAME_OF_TOOL.match(text)):
        yield ToolCall(_plain_name(name[0], names), {key.strip(): _value(value) for key, value in _PAIR.findall(text)})


def _read_json(text: str, names: Collection[str]) -> Iterator[ToolCall]:
    """JSON values, each with the tool's name inside or before it."""
    at = 0
    while (start := _json_start(text, at)) >= 0:
        before = [part for part in re.split(r"[\s\x1f<>|]+", text[at:start].strip(" \t\n\x1f,;=(")) if part]
        end = _balanced(text, start)
        value = _load(text[start:end])
        calls = list(_calls_in(value, names))
        head = before[-1] if before else ""
        # Kimi writes "functions.weather:0"; the name of a marker may follow it.
        named = next((part for part in reversed(before) if _plain_name(part, names) in names), head)
        if calls:
            yield from calls
        elif isinstance(value, dict) and NAME_OF_TOOL.fullmatch(named):
            plain = _plain_name(named, names)
            if plain in names or "\x1f" in text or named != plain:  # not "in {...}" in a sentence
                yield ToolCall(plain, value)
        at = end


def _json_start(text: str, at: int) -> int:
    found = _BRACKET.search(text, at)
    return found.start() if found else -1


def _calls_in(value: Any, names: Collection[str]) -> Iterator[ToolCall]:
    if isinstance(value, list):
        for part in value[:MAX_CALLS]:
            yield from _calls_in(part, names)
        return
    if not isinstance(value, dict):
        return
    for key in _WRAPPERS:
        if isinstance(value.get(key), list | dict) and (inner := list(_calls_in(value[key], names))):
            yield from inner
            return
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    key = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if name and NAME_OF_TOOL.fullmatch(name.strip()):
        arguments = _arguments(value[key]) if key else {}
        plain = _plain_name(name.strip(), names)
        if (key or (plain in names and not set(value) - {*_NAME_KEYS, "id", "type"})) and arguments is not None:
            yield ToolCall(plain, arguments)
            return
    if len(value) == 1:  # {"weather": {"city": "Paris"}}
        [(only, arguments)] = value.items()
        if isinstance(arguments, dict) and (plain := _plain_name(str(only), names)) in names:
            yield ToolCall(plain, arguments)


def _read_python(text: str, names: Collection[str]) -> Iterator[ToolCall]:
    """weather(city="Paris"), alone or in a list, of declared tools and of names with a namespace."""
    at = tried = 0
    while (found := _CALL.search(text, at)) is not None and tried < MAX_CALLS:
        at = found.end()
        name = _plain_name(found[1], names)
        if name not in names and not found[1].startswith(NAMESPACE):
            continue
        tried += 1
        end = _balanced(text, found.end() - 1)
        if (arguments := _python_arguments(text[found.end() - 1 : end])) is not None:
            yield ToolCall(name, arguments)
            at = end


def _python_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of "(city='Paris')" or "({'city': 'Paris'})"."""
    try:
        with warnings.catch_warnings(action="ignore"):
            called = ast.parse(f"call{text}", mode="eval").body
        if not isinstance(called, ast.Call):
            return None
        arguments = {word.arg: ast.literal_eval(word.value) for word in called.keywords if word.arg}
        values = [ast.literal_eval(value) for value in called.args]
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        value = _load(text.strip("() \n"))  # JSON with its true, false and null
        return value if isinstance(value, dict) else None
    if not values:
        return arguments
    return values[0] if len(values) == 1 and isinstance(values[0], dict) and not arguments else None


def _plain_name(name: str, names: Collection[str]) -> str:
    """`name` without the namespace and number that templates add."""
    if name in names:
        return name
    plain = _INDEX.sub("", _PREFIX.sub("", name.strip(), count=1))
    if plain in names:
        return plain
    return next((known for known in names if known.lower() == plain.lower()), plain)


def _arguments(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        value = _load(value) if value.strip() else {}
    return {} if value is None else value if isinstance(value, dict) else None


def _value(text: str) -> Any:
    """A parameter's value between tags: JSON if it is valid, else text."""
    text = text.strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _first_value(text: str) -> Any:
    start = _json_start(text, 0)
    return _load(text[start : _balanced(text, start)]) if start >= 0 else None


def _load(text: str) -> Any:
    """Parses JSON as models write it: single quotes, trailing commas, bare keys, a missing end.  None: not possible."""
    for attempt in (text, text + _missing_end(text), _BARE_KEY.sub(r'\1"\2":', text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            pass
        try:
            with warnings.catch_warnings(action="ignore"):  # warnings would quote the text
                return ast.literal_eval(attempt.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            pass
    return None


def _missing_end(text: str) -> str:
    """The closing brackets that `text` lacks."""
    balance = BracketMatcher()
    for char in text:
        balance.push(char)
    return balance.missing()


def _balanced(text: str, start: int) -> int:
    """End of the brackets that open at `start`; the end of the text if they are not closed."""
    balance = BracketMatcher()
    for at in range(start, len(text)):
        balance.push(text[at])
        if balance.closed:
            return at + 1
    return len(text)


class BracketMatcher:
    """Matches the brackets of JSON or Python, outside strings, character by character."""

    _CLOSERS: Mapping[str, str] = {"{": "}", "[": "]", "(": ")"}

    def __init__(self) -> None:
        self._open: list[str] = []
        self._quote = ""
        self._escaped = False
        self._before = ""
        self.closed = False
        """All brackets are closed."""

    def push(self, char: str) -> None:
        """Adds a character."""
        if self._quote:
            if self._escaped:
                self._escaped = False
            elif char == "\\":
                self._escaped = True
            elif char == self._quote:
                self._quote = ""
            return
        if char == '"' or (char == "'" and not self._before.isalnum()):
            self._quote = char
        elif char in self._CLOSERS:
            self._open.append(self._CLOSERS[char])
        elif char in ")]}" and self._open:
            self._open.pop()
            self.closed = not self._open
        if not char.isspace():
            self._before = char

    def missing(self) -> str:
        """The characters that close the open string and brackets."""
        return self._quote + "".join(reversed(self._open))
