"""Removes tool calls that a model writes as text from a stream."""

from __future__ import annotations

import re
from collections.abc import Collection

from services.brain.ollama.client import ToolCall
from services.brain.ollama.tools.tool_call_formats import (
    MAX_CALL_CHARS,
    MAX_NAME_CHARS,
    NAME_OF_TOOL,
    NAMESPACE,
    BracketMatcher,
    looks_like_call,
    parse_tool_calls,
)


class ToolCallParser:
    """Parses one stream, given the names of the declared tools."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = names
        callable_names = [
            f"{prefix}{name}" for name in names for prefix in ("", "functions.", "tools.", "default_api.")
        ]
        self._callable = frozenset(callable_names)
        self._prefixes = frozenset(name[:end] for name in callable_names for end in range(1, len(name) + 1))
        self._prefixes |= {NAMESPACE[:end] for end in range(1, len(NAMESPACE) + 1)}
        self._word = ""  # the word so far, while it may be a tool's name
        self._in_word = False  # within another word
        self._held: list[str] = []
        self._brackets: BracketMatcher | None = None
        self._sure = False  # the held text begins like JSON or a call
        self._like_call = False
        self._chars = 0
        self.calls: list[ToolCall] = []
        """The parsed calls."""
        self.unreadable = 0
        """Number of texts that look like a call and could not be parsed."""

    def push(self, text: str) -> str:
        """Adds text; returns what is to be spoken."""
        said: list[str] = []
        for char in text:
            self._push(char, said)
        return "".join(said)

    def flush(self) -> str:
        """Ends the stream; returns the held text that is not a call."""
        said: list[str] = []
        if self._brackets is not None:
            text = "".join(self._held)
            if not self._sure or not self._parse(text):
                said.append(text)
            self._drop()
        said.append(self._word)
        self._word, self._in_word = "", False
        return "".join(said)

    def add(self, text: str, recipient: str = "") -> None:
        """Parses the text between the markers of a tool call; `recipient` is the tool named in the marker, or empty."""
        calls = parse_tool_calls(text, self._names, recipient)
        self.calls += calls
        self.unreadable += not calls

    def _push(self, char: str, said: list[str]) -> None:
        if self._brackets is not None:
            self._hold(char, said)
            return
        if self._word:
            word = self._word + char
            if word in self._prefixes or (word.startswith(NAMESPACE) and NAME_OF_TOOL.fullmatch(word)):
                self._word = word
                return
            if char in "({" and self._is_callable(self._word):
                self._held, self._word = list(self._word), ""
                self._begin(char, sure=True)
                return
            said.append(self._word)
            self._in_word, self._word = True, ""
        if char in "{[":
            self._begin(char, sure=False)
        elif not self._in_word and char in self._prefixes:
            self._word = char
        else:
            said.append(char)
        self._in_word = char.isalnum() or char in "_."

    def _is_callable(self, word: str) -> bool:
        return word in self._callable or (word.startswith(NAMESPACE) and len(word) > len(NAMESPACE))

    def _begin(self, char: str, *, sure: bool) -> None:
        self._brackets, self._sure, self._like_call, self._chars = BracketMatcher(), sure, False, 0
        self._held.append(char)
        self._brackets.push(char)

    def _hold(self, char: str, said: list[str]) -> None:
        assert self._brackets is not None
        if not self._sure and not self._may_be_call(char):
            said += self._held
            self._drop()
            self._push(char, said)
            return
        self._brackets.push(char)
        self._chars += 1
        if self._chars <= MAX_CALL_CHARS:
            self._held.append(char)
        elif not self._like_call:
            text = "".join(self._held)
            if not looks_like_call(text):
                said += [text, char]
                self._drop()
                return
            self._like_call = True  # a call that is too long: nothing of it is spoken
        if self._brackets.closed:
            text = "".join(self._held)
            if not self._parse(text):
                said.append(text)
            self._drop()

    def _may_be_call(self, char: str) -> bool:
        """Whether the bracket that was just opened may contain a call, judging by the next character."""
        opened = self._held[-1] if not self._held[-1].isspace() else "".join(self._held).strip()[-1:]
        if char.isspace():
            return len(self._held) < 32
        if opened == "{":
            self._sure = char in "\"'"
            return self._sure
        if opened == "[":
            return char in "{[" or char in self._prefixes
        word = re.split(r"[\[\s]", "".join(self._held))[-1] + char
        self._sure = char == "(" and self._is_callable(word[:-1])
        return self._sure or word in self._prefixes or (word.startswith(NAMESPACE) and len(word) <= MAX_NAME_CHARS)

    def _parse(self, text: str) -> bool:
        """Parses the calls in `text`; returns whether there is a call, or a text that looks like one."""
        if calls := parse_tool_calls(text, self._names):
            self.calls += calls
        elif looks_like_call(text):
            self.unreadable += 1
        else:
            return False
        return True

    def _drop(self) -> None:
        self._held, self._brackets, self._sure, self._chars = [], None, False, 0
