"""From any text to sentences, each as it is written and as it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oviya.text.segmenter import Segmenter
from oviya.text.speakable import speakable, written
from oviya.text.speakable.characters import without_invisible


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence, or a part of a long one.

    Attributes:
        text: as a person reads it, for captions and memory: "It costs $5. \U0001f389"; not empty.
        spoken: as it is said: "It costs five dollars."; not empty.
    """

    text: str
    spoken: str


MAX_WAITING_CHARS = 100
"""Emoji that are kept for the sentence after them, or named where there is none."""


class Narrator:
    """Turns the pieces of one text into what is said.

    Emoji beside words are not said, and a piece may be nothing but the emoji behind a sentence that has left already.
    So a piece without words waits for the next one, and is named only where the whole text holds no words.
    """

    def __init__(self) -> None:
        self._waiting = ""
        self._said = False

    def add(self, piece: str) -> Said | None:
        """Takes the next piece; returns what is said of it, None where that is nothing, or nothing yet."""
        spoken = speakable(piece)
        if not spoken:
            return None
        text = written(piece)
        if not any(character.isalnum() for character in text):
            if len(self._waiting) < MAX_WAITING_CHARS:
                self._waiting = f"{self._waiting} {text}".strip()
            return None
        text, self._waiting = f"{self._waiting} {text}".strip(), ""
        self._said = True
        return Said(text, spoken)

    def finish(self) -> Said | None:
        """Ends the text; returns the names of its emoji where it held nothing else."""
        text, self._waiting, said, self._said = self._waiting, "", self._said, False
        spoken = "" if said or not text else speakable(text)
        return Said(text, spoken) if spoken else None


def say_text(text: str, max_chars: int) -> Iterator[Said]:
    """Cuts `text` into sentences of at most `max_chars` characters, as written; longer ones are cut at clauses.

    What cannot be said makes no sentence of its own.  Yields as it goes: a caller on an event loop can let others run
    in between.
    """
    segmenter, narrator = Segmenter(max_chars=max_chars, first_clause_chars=0), Narrator()
    for pieces in (segmenter.push(text), segmenter.flush()):
        for piece in pieces:
            if said := narrator.add(piece.text):
                yield said
    if said := narrator.finish():
        yield said


def say_sentence(text: str, max_chars: int, spoken: str = "") -> list[Said]:
    """One sentence, in parts of at most `max_chars` characters as written.

    Args:
        text: as it was written.
        max_chars: longest part.
        spoken: how it is said, where somebody has worked that out.
    """
    text = " ".join(without_invisible(text).split())
    if spoken and len(text) <= max_chars:
        return [Said(text, spoken)]
    if len(text) <= max_chars:
        narrator = Narrator()
        said = narrator.add(text) or narrator.finish()
        return [said] if said else []
    return list(say_text(text, max_chars))


def with_end(spoken: str) -> str:
    """`spoken` with a full stop where it ends in a word: a speech model goes on talking where a sentence has no end."""
    return f"{spoken}." if spoken and spoken[-1].isalnum() else spoken


def is_speakable(text: str) -> bool:
    """Whether `text` holds anything that can be said: words, numbers, emoji."""
    return any(True for _ in say_text(text, 1000))
