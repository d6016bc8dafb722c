"""What is known of a model's way of thinking aloud, so that its thinking is held back before its end is seen."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNKNOWN_HOLD_CHARS = 400
"""As much of the first answer of an unknown model is held back: some three sentences."""
JUDGED_CHARS = 24
"""As many characters show whether an answer begins as thinking does."""

_MUSING = re.compile(
    r"\A\W*+(?:(?:okay|ok|alright|all right|right|hmm+|well|so|now|first|wait|let'?s see|let me see)\b[,.!:\s]++)*+"
    r"(?:the user\b|the person\b|they (?:said|say|want|are asking)\b|user (?:says|said|wants|asks|greets)\b"
    r"|(?:we|i) (?:need|have|should|must|want) to (?:answer|respond|reply|greet|think|figure|consider|produce|write)\b"
    r"|let me (?:think|analy[sz]e|consider|work)\b|let'?s (?:think|analy[sz]e|craft|respond)\b"
    r"|i'?m (?:asked|being asked)\b|thinking process\b|analysis(?=[A-Z:]))",
    re.IGNORECASE,
)
_WRITES_THINKING = re.compile(
    r"</?\s*(?:think|thinking|thought|reasoning|seed:think)\s*>|\[/?THINK\]|\u25c1/?think\u25b7"
    r"|\|(?:START|END)_THINKING\||\|(?:begin|end)_of_thought\|",
    re.IGNORECASE,
)


def reads_as_thinking(text: str) -> bool:
    """Says whether an answer begins as models begin to think: "Okay, the user greets me."."""
    return _MUSING.match(text) is not None


@dataclass
class ThinkingProfile:
    """One model, as its answers have shown it.

    Attributes:
        can_think: the server says that the model can think, or its template writes marks of thinking.
        unmarked: the model has written thinking that no mark began.
        plain: the model has given an answer that held no such thinking.
    """

    can_think: bool = False
    unmarked: bool = False
    plain: bool = False

    def hold_chars(self) -> float:
        """Characters at the start of an answer that are held back until thinking may be excluded."""
        if self.unmarked or (self.can_think and not self.plain):
            return float("inf")
        return JUDGED_CHARS if self.plain else UNKNOWN_HOLD_CHARS


def writes_thinking(template: str) -> bool:
    """Says whether a chat template holds marks of thinking."""
    return _WRITES_THINKING.search(template) is not None
