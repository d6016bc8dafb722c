"""Holds back the start of an answer until thinking without an opening marker can be ruled out."""

from __future__ import annotations

import re

from services.brain.ollama.output.emotion_tags import read_emotion_tags
from services.brain.ollama.output.thinking_profile import ThinkingProfile, reads_as_thinking

MAX_TAG_CHARS = 48
"""Longest emotion tag, including what precedes it."""
JUDGED_CHARS = 192
"""Characters at the start of an answer that are examined for an emotion tag and for thinking."""

_BARE_CHANNELS = re.compile(r"\A\s*+analysis(?=[A-Z:]).*?assistant\s?final:?", re.DOTALL)
"""gpt-oss channels whose markers the server removed: "analysisThe user greets me.assistantfinalHello!"."""
_TAG_OPENS = re.compile(r"\A\s*+(?:\*{1,2}|_)?\[")


class StartBuffer:
    """The start of one answer, or of the text after nested thinking.  Updates what is known about the model."""

    def __init__(self, profile: ThinkingProfile) -> None:
        self._profile = profile
        self._held: list[str] = []
        self._chars = 0
        self._judged = ""  # the first held characters
        self._limit = profile.hold_chars()
        self.after_nested = False
        """The buffer holds the text after nested thinking."""
        self.holding = True
        """New text is held back."""
        self.released = False
        """Text other than white space was released."""
        self.tagged = False
        """The text begins with an emotion tag, as answers do."""
        self.thinking_chars = 0
        """Characters that turned out to be thinking when the answer ended."""
        self.unclosed_chars = 0
        """Those of them without a closing marker."""

    @property
    def text(self) -> str:
        """The held text."""
        return "".join(self._held)

    def push(self, text: str) -> str:
        """Adds text; returns what can be released."""
        if not self.holding:
            self.released = self.released or not text.isspace()
            return text
        self._held.append(text)
        self._judged += text[: max(0, JUDGED_CHARS - len(self._judged))]
        seen, self._chars = self._chars, self._chars + len(text)
        return self.release() if self._can_release(seen) else ""

    def release(self) -> str:
        """Stops holding back; returns the held text."""
        text = self.text
        self.drop()
        self.holding = False
        self.released = self.released or not (text.isspace() or not text)
        return text

    def drop(self) -> int:
        """Discards the held text; returns its length."""
        dropped = self._chars
        self._held.clear()
        self._chars, self._judged = 0, ""
        return dropped

    def restart(self) -> str:
        """Holds back what follows until it ends or a closing marker comes; returns the text held so far."""
        text = self.release() if self.holding else ""
        self.holding, self.released, self.tagged, self.after_nested = True, False, False, True
        self._limit = float("inf")
        return text

    def begin_answer(self) -> None:
        """Discards the held text, which was thinking, and stops holding back."""
        self.drop()
        self.holding, self.released, self.after_nested = False, False, False

    def end(self, *, cut: bool) -> str:
        """Ends the answer; returns the held text unless it is thinking."""
        text = self.text
        if not text.strip():
            return ""
        if channels := _BARE_CHANNELS.match(text):
            self._profile.unmarked = True
            self.thinking_chars += channels.end()
            self.release()
            return text[channels.end() :]
        suspected = self._profile.unmarked or self.after_nested
        if reads_as_thinking(text) and (cut or suspected or (self._profile.can_think and not self._profile.plain)):
            self.unclosed_chars += self.drop()
            self.thinking_chars += self.unclosed_chars
            return ""
        if not suspected and not cut:
            self._profile.plain = True
        return self.release()

    def _can_release(self, seen: int) -> bool:
        """Whether the held text can be released; its first `seen` characters were examined before."""
        start = self._judged
        if seen <= MAX_TAG_CHARS and _TAG_OPENS.match(start):
            if "]" not in start and len(start) <= MAX_TAG_CHARS:
                return False
            kind = next(read_emotion_tags(start)).kind
            self.tagged = kind != "missing" and (kind != "unknown" or not self._profile.unmarked)
            if self.tagged:
                return True
        if self._chars < self._limit:
            return False
        if reads_as_thinking(start):
            self._limit = float("inf")
            return False
        return True
