"""Takes tool calls that a model writes as text out of a stream."""

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
    """Takes tool calls out of a stream of text.

    Args:
        names: the declared tools.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = names
        callable_names = [
            f"{prefix}{name}" for name in names for prefix in ("", "functions.", "tools.", "default_api.")
        ]
        self._callable = frozenset(callable_names)
        self._prefixes = frozenset(name[:end] for name in callable_names for end in range(1, len(name) + 1))
        self._prefixes |= {NAMESPACE[:end] for end in range(1, len(NAMESPACE) + 1)}
        self._word = ""  # the word so far, where it may be a tool's name
        self._in_word = False  # within a word that is none
        self._held: list[str] = []
        self._brackets: BracketMatcher | None = None
        self._sure = False  # the held text began as JSON or as a call does
        self._like_call = False
        self._chars = 0
        self.calls: list[ToolCall] = []
        """The calls that were read."""
        self.unread = 0
        """Texts that looked like a call and could not be read."""

    def push(self, text: str) -> str:
        """Takes the next text; returns what of it is to be said."""
        said: list[str] = []
        for sign in text:
            self._push(sign, said)
        return "".join(said)

    def flush(self) -> str:
        """Ends the stream; returns what was held back and is no call."""
        said: list[str] = []
        if self._brackets is not None:
            text = "".join(self._held)
            if not self._sure or not self._take(text):
                said.append(text)
            self._drop()
        said.append(self._word)
        self._word, self._in_word = "", False
        return "".join(said)

    def add(self, text: str, recipient: str = "") -> None:
        """Takes what stood between the marks of a tool call."""
        calls = parse_tool_calls(text, self._names, recipient)
        self.calls += calls
        self.unread += not calls

    def _push(self, sign: str, said: list[str]) -> None:
        if self._brackets is not None:
            self._hold(sign, said)
            return
        if self._word:
            word = self._word + sign
            if word in self._prefixes or (word.startswith(NAMESPACE) and NAME_OF_TOOL.fullmatch(word)):
                self._word = word
                return
            if sign in "({" and self._is_callable(self._word):
                self._held, self._word = list(self._word), ""
                self._begin(sign, sure=True)
                return
            said.append(self._word)
            self._in_word, self._word = True, ""
        if sign in "{[":
            self._begin(sign, sure=False)
        elif not self._in_word and sign in self._prefixes:
            self._word = sign
        else:
            said.append(sign)
        self._in_word = sign.isalnum() or sign in "_."

    def _is_callable(self, word: str) -> bool:
        return word in self._callable or (word.startswith(NAMESPACE) and len(word) > len(NAMESPACE))

    def _begin(self, sign: str, *, sure: bool) -> None:
        self._brackets, self._sure, self._like_call, self._chars = BracketMatcher(), sure, False, 0
        self._held.append(sign)
        self._brackets.push(sign)

    def _hold(self, sign: str, said: list[str]) -> None:
        assert self._brackets is not None
        if not self._sure and not self._may_be_call(sign):
            said += self._held
            self._drop()
            self._push(sign, said)
            return
        self._brackets.push(sign)
        self._chars += 1
        if self._chars <= MAX_CALL_CHARS:
            self._held.append(sign)
        elif not self._like_call:
            text = "".join(self._held)
            if not looks_like_call(text):
                said += [text, sign]
                self._drop()
                return
            self._like_call = True  # an endless call: nothing of it is said
        if self._brackets.closed:
            text = "".join(self._held)
            if not self._take(text):
                said.append(text)
            self._drop()

    def _may_be_call(self, sign: str) -> bool:
        """Says whether the brackets that have just opened may hold a call, by the sign after them."""
        opened = self._held[-1] if not self._held[-1].isspace() else "".join(self._held).strip()[-1:]
        if sign.isspace():
            return len(self._held) < 32
        if opened == "{":
            self._sure = sign in "\"'"
            return self._sure
        if opened == "[":
            return sign in "{[" or sign in self._prefixes
        word = re.split(r"[\[\s]", "".join(self._held))[-1] + sign
        self._sure = sign == "(" and self._is_callable(word[:-1])
        return self._sure or word in self._prefixes or (word.startswith(NAMESPACE) and len(word) <= MAX_NAME_CHARS)

    def _take(self, text: str) -> bool:
        """Takes a call out of `text`; says whether it held one, or what looks like one."""
        if calls := parse_tool_calls(text, self._names):
            self.calls += calls
        elif looks_like_call(text):
            self.unread += 1
        else:
            return False
        return True

    def _drop(self) -> None:
        self._held, self._brackets, self._sure, self._chars = [], None, False, 0
