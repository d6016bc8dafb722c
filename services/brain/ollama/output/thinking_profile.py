"""How a model writes its thinking, learned from its answers.  It decides how much of an answer is held back."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNKNOWN_HOLD_CHARS = 400
"""Characters held back of the first answer of an unknown model: about three sentences."""
KNOWN_HOLD_CHARS = 24
"""Characters needed to see whether an answer begins like thinking."""

_MUSING = re.compile(
    r"\A\W*+(?:(?:okay|ok|alright|all right|right|hmm+|well|so|now|first|wait|let'?s see|let me see)\b[,.!:\s]++)*+"
    r"(?:the user\b|the person\b|they (?:said|say|want|are asking)\b|user (?:says|said|wants|asks|greets)\b"
    r"|(?:we|i) (?:need|have|should|must|want) to (?:answer|respond|reply|greet|think|figure|consider|produce|write)\b"
    r"|let me (?:think|analy[sz]e|consider|work)\b|let'?s (?:think|analy[sz]e|craft|respond)\b"
    r"|i'?m (?:asked|being asked)\b|thinking process\b|analysis(?=[A-Z:]))",
    re.IGNORECASE,
)
_THINKING_MARKERS = re.compile(
    r"</?\s*(?:think|thinking|thought|reasoning|seed:think)\s*>|\[/?THINK\]|\u25c1/?think\u25b7"
    r"|\|(?:START|END)_THINKING\||\|(?:begin|end)_of_thought\|",
    re.IGNORECASE,
)


def reads_as_thinking(text: str) -> bool:
    """Whether an answer begins the way models begin to think: "Okay, the user greets me."."""
    return _MUSING.match(text) is not None


def has_thinking_markers(template: str) -> bool:
    """Whether a chat template contains thinking markers."""
    return _THINKING_MARKERS.search(template) is not None


@dataclass
class ThinkingProfile:
    """What is known about one model.

    Attributes:
        can_think: the server reports thinking as a capability, or the chat template contains thinking markers.
        unmarked: the model has written thinking without an opening marker.
        plain: the model has given an answer without such thinking.
    """

    can_think: bool = False
    unmarked: bool = False
    plain: bool = False

    def hold_chars(self) -> float:
        """Characters at the start of an answer to hold back until unmarked thinking can be ruled out."""
        if self.unmarked or (self.can_think and not self.plain):
            return float("inf")
        return KNOWN_HOLD_CHARS if self.plain else UNKNOWN_HOLD_CHARS
