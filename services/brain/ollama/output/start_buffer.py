"""The start of an answer, held back until thinking that no mark began can be excluded."""

from __future__ import annotations

import re

from services.brain.ollama.output.emotion_tags import read_emotion_tags
from services.brain.ollama.output.thinking_profile import ThinkingProfile, reads_as_thinking

MAX_TAG_CHARS = 48
"""Longest emotion tag, with what stands before it."""
JUDGED_CHARS = 192
"""Characters at the start of an answer that are judged: its emotion, and whether it reads as thinking."""

_BARE_CHANNELS = re.compile(r"\A\s*+analysis(?=[A-Z:]).*?assistant\s?final:?", re.DOTALL)
"""gpt-oss's channels where the server has taken off their marks: "analysisThe user greets me.assistantfinalHello!"."""
_TAG_OPENS = re.compile(r"\A\s*+(?:\*{1,2}|_)?\[")


class StartBuffer:
    """The start of one answer, or of what follows nested thinking.

    Args:
        profile: what is known of the model; it is kept up to date.
    """

    def __init__(self, profile: ThinkingProfile) -> None:
        self._profile = profile
        self._held: list[str] = []
        self._chars = 0
        self._start = ""  # the first of the held characters
        self._limit = profile.hold_chars()
        self._after_nested = False
        self.holding = True
        """What comes is held back."""
        self.released = False
        """Something was given on."""
        self.tagged = False
        """It begins with an emotion, as answers do."""
        self.removed = 0
        """Characters that proved to be thinking at the end."""
        self.swallowed = 0
        """Those of them that nothing ended."""

    @property
    def text(self) -> str:
        """What is held back."""
        return "".join(self._held)

    @property
    def after_nested(self) -> bool:
        """It follows thinking within thinking."""
        return self._after_nested

    def push(self, text: str) -> str:
        """Takes the next text; returns what may be given on."""
        if not self.holding:
            self.released = self.released or not text.isspace()
            return text
        self._held.append(text)
        self._start += text[: max(0, JUDGED_CHARS - len(self._start))]
        seen, self._chars = self._chars, self._chars + len(text)
        return self.release() if self._may_leave(seen) else ""

    def release(self) -> str:
        """Stops holding back; returns what was held."""
        text = self.text
        self.drop()
        self.holding = False
        self.released = self.released or not (text.isspace() or not text)
        return text

    def drop(self) -> int:
        """Forgets what is held back; returns how many characters that were."""
        dropped = self._chars
        self._held.clear()
        self._chars, self._start = 0, ""
        return dropped

    def begin_again(self) -> str:
        """Holds back what comes next up to its end, or to a mark that ends thinking; returns what was held before."""
        text = self.release() if self.holding else ""
        self.holding, self.released, self.tagged, self._after_nested = True, False, False, True
        self._limit = float("inf")
        return text

    def answer_begins(self) -> None:
        """All before was thinking: what comes next is the answer."""
        self.drop()
        self.holding, self.released, self._after_nested = False, False, False

    def end(self, *, cut: bool) -> str:
        """Ends the answer; returns what was held back and is to be said."""
        text = self.text
        if not text.strip():
            return ""
        if channels := _BARE_CHANNELS.match(text):
            self._profile.unmarked = True
            self.removed += channels.end()
            self.release()
            return text[channels.end() :]
        suspected = self._profile.unmarked or self._after_nested
        if reads_as_thinking(text) and (cut or suspected or (self._profile.can_think and not self._profile.plain)):
            self.swallowed += self.drop()
            self.removed += self.swallowed
            return ""
        if not suspected and not cut:
            self._profile.plain = True
        return self.release()

    def _may_leave(self, seen: int) -> bool:
        """Says whether the start of an answer may be given on; the first `seen` characters of it were judged before."""
        start = self._start
        if seen <= MAX_TAG_CHARS and _TAG_OPENS.match(opening):
            if "]" not in opening and len(opening) <= MAX_TAG_CHARS:
                return False
            kind = next(read_emotion_tags(opening)).kind
            self.tagged = kind != "missing" and (kind != "unknown" or not self._profile.unmarked)
            if self.tagged:
                return True
        if self._chars < self._limit:
            return False
        if reads_as_thinking(opening):
            self._limit = float("inf")
            return False
        return True
