"""Headers of chat templates: who speaks, in which channel, to whom."""

from __future__ import annotations

import re

MAX_HEADER_CHARS = 120
"""Longest header; longer text is not a header."""
MAX_HEADER_WORDS = 3
THINKING_CHANNELS = frozenset({"analysis", "thought", "thoughts", "thinking", "think", "reasoning"})
ANSWER_CHANNELS = frozenset({"final", "commentary", "assistant"})
OTHER_ROLES = frozenset({
    "user", "human", "system", "developer", "tool", "ipython", "observation", "environment", "function", "functions",
})  # fmt: skip
_ROLES = OTHER_ROLES | {"assistant", "model", "bot", "chatbot"}
_SPEAKERS = frozenset({"assistant", "user", "all"})
"""Recipients that are not tools."""
_NAME = re.compile(r"(?<!\s)\s*+([a-z_]++)")
_RECIPIENT = re.compile(r"\bto=([\w.:-]+)")


class TurnHeader:
    """The text between header markers, e.g. gpt-oss's "assistant to=functions.weather" or "analysis"."""

    def __init__(self, text: str = "", *, is_channel: bool = False) -> None:
        self.text = text
        self._channel_at = 0 if is_channel else -1  # where the channel's name begins

    @property
    def has_channel(self) -> bool:
        """Whether a channel marker was seen."""
        return self._channel_at >= 0

    def begin_channel(self) -> None:
        """Adds a channel marker: what follows is the channel's name."""
        self.text += " "
        self._channel_at = len(self.text)

    @property
    def role(self) -> str:
        """The role in lower case; empty: none."""
        found = _NAME.match((self.text[: self._channel_at] if self.has_channel else self.text).lower())
        return found[1] if found else ""

    @property
    def channel(self) -> str:
        """The channel in lower case; empty: none."""
        found = _NAME.match(self.text[self._channel_at :].lower()) if self.has_channel else None
        return found[1] if found else ""

    @property
    def tool(self) -> str:
        """The tool that the text is addressed to; empty: none."""
        found = _RECIPIENT.search(self.text)
        return found[1] if found and found[1] not in _SPEAKERS else ""

    def is_role_only(self) -> bool:
        """Whether the header consists of a role and recipients."""
        role, *rest = self.text.lower().split()
        return role in _ROLES and all(word.startswith("to=") for word in rest)

    def is_sentence(self) -> bool:
        """Whether the text is too long to be a header."""
        return len(self.text.split()) > MAX_HEADER_WORDS
