"""The text after an opening marker, until the marker that closes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from services.brain.ollama.output.mentions import MENTION_CHARS, is_mentioned, is_subject, joins_mentions
from services.brain.ollama.output.template_markers import Marker
from services.brain.ollama.output.thinking_profile import reads_as_thinking

MAX_CALL_CHARS = 16_384
"""Longest tool call; further characters are dropped."""
MAX_SEARCHED_CHARS = 20 * MENTION_CHARS
"""A block inside a code span is searched for the end of the span up to this length."""
CALL_SEPARATOR = "\x1f"
"""Stands for a marker between a function's name and its arguments."""
_CALL_BODY = re.compile(rf"[{{(={CALL_SEPARATOR}]")


@dataclass
class MarkedBlock:
    """Thinking, or a tool call.

    Attributes:
        opener: the opening marker.
        doubtful: the sentence before may only mention the marker.
        quote: the sign that closes the quotation or code span around the marker; empty: none.
        tool: the tool named in the header before the block; empty: none.
        nested: opening markers inside the block.
        chars: length of the text, including what was dropped.
    """

    opener: Marker
    doubtful: bool = False
    quote: str = ""
    tool: str = ""
    nested: int = 0
    chars: int = 0
    _parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of the block."""
        return "".join(self._parts)

    @property
    def last(self) -> str:
        """The text that was added last; empty: none."""
        return self._parts[-1] if self._parts else ""

    def add(self, text: str) -> None:
        """Adds text without counting it."""
        self._parts.append(text)

    def add_thinking(self, text: str) -> bool:
        """Adds text of a thinking block; returns whether its marker turns out to be only mentioned."""
        in_code = "`" in self.quote
        is_judged = self.chars > MENTION_CHARS and not in_code
        self.add(text)
        self.chars += len(text)
        if is_judged or self.opener.kind != "think":
            return False
        if in_code and "`" not in text and self.chars > MENTION_CHARS:
            return False
        inner = self.text if self.chars <= MAX_SEARCHED_CHARS else text
        return is_mentioned(inner, self.quote, final=False)

    def add_call(self, text: str) -> bool:
        """Adds text of a tool call; returns whether its marker turns out to be only mentioned."""
        if self.chars < MAX_CALL_CHARS:
            self.add(text[: MAX_CALL_CHARS - self.chars])
        self.chars += len(text)
        short = self.chars <= 2 * MENTION_CHARS
        return self.doubtful and short and is_mentioned(self.text, self.quote, final=False)

    def joins_mentions(self) -> bool:
        """Whether the text only joins two mentioned markers: "<think> and </think>"."""
        return joins_mentions(self.text, doubtful=self.doubtful)

    def is_unclosed_mention(self) -> bool:
        """Whether the marker of a thinking block that nothing closed was only mentioned."""
        text = self.text
        if self.opener.kind != "think" or not text.strip() or text.startswith("\n") or reads_as_thinking(text):
            return False
        return self.doubtful or is_mentioned(text, self.quote, final=True)

    def is_call_mention(self) -> bool:
        """Whether the marker of a tool call was only mentioned."""
        return not _CALL_BODY.search(self.text) and (self.doubtful or is_subject(self.text))
