"""Turns the bytes of a terminal into lines, keys and the end of input."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TypeAlias

BACKSPACES, DELETE_LINE, DELETE_WORD, END = "\x7f\x08", "\x15", "\x17", "\x04"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")
"""Escape sequences: cursor and function keys, and Alt with a key."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class TalkKey:
    """Space or enter on an empty line."""


@dataclass(frozen=True, slots=True)
class EndOfInput:
    """Ctrl-D on an empty line, or the end of a pipe."""


Input: TypeAlias = Line | TalkKey | EndOfInput


class LineEditor:
    """Edits one line: backspace, Ctrl-U, Ctrl-W; cursor keys are ignored.

    Args:
        space_is_key: whether a space at the start of a line is a `TalkKey`.
    """

    def __init__(self, *, space_is_key: bool) -> None:
        self.text = ""
        """The line so far."""
        self._space_is_key = space_is_key
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def feed(self, data: bytes) -> list[Input]:
        """Takes what was read from the terminal; returns what it means."""
        found: list[Input] = []
        for character in _SEQUENCE.sub("", self._decoder.decode(data)):
            if character in "\r\n":
                found.append(Line(self.text) if self.text.strip() else TalkKey())
                self.text = ""
            elif character == " " and not self.text and self._space_is_key:
                found.append(TalkKey())
            elif character == END and not self.text:
                found.append(EndOfInput())
            elif character in BACKSPACES:
                self.text = self.text[:-1]
            elif character == DELETE_LINE:
                self.text = ""
            elif character == DELETE_WORD:
                before, space, _ = self.text.rstrip().rpartition(" ")
                self.text = before + space
            elif character.isprintable():
                self.text += character
        return found
