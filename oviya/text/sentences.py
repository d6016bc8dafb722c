"""Splits text into sentences, each as it is written and as it is spoken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oviya.text.segmenter import Segmenter
from oviya.text.speakable import speakable, written
from oviya.text.speakable.characters import without_invisible


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A sentence, or a part of a long one.

    Attributes:
        text: as it is read, for captions and memory: "It costs $5. \U0001f389"; not empty.
        spoken: as it is spoken: "It costs five dollars."; not empty.
    """

    text: str
    spoken: str


MAX_WAITING_CHARS = 100
"""Emoji that are kept for the next sentence, or named if there is none."""


class Verbalizer:
    """Verbalizes the segments of one text.

    Emoji next to words are not spoken, and a segment may consist of the emoji after a sentence that was returned
    before.  A segment without words therefore waits for the next one; it is named only if the whole text has no words.

    Args:
        language: of the text (BCP 47); empty: English if its script is Latin.
    """

    def __init__(self, language: str = "") -> None:
        self._language = language
        self._waiting = ""
        self._spoke = False

    def add(self, segment: str) -> SpokenText | None:
        """Adds a segment; returns what is spoken, or None if that is nothing, or nothing yet."""
        spoken = speakable(segment, self._language)
        if not spoken:
            return None
        text = written(segment)
        if not any(character.isalnum() for character in text):
            if len(self._waiting) < MAX_WAITING_CHARS:
                self._waiting = f"{self._waiting} {text}".strip()
            return None
        text, self._waiting = f"{self._waiting} {text}".strip(), ""
        self._spoke = True
        return SpokenText(text, spoken)

    def finish(self) -> SpokenText | None:
        """Ends the text; returns the names of its emoji if it contained nothing else."""
        text, self._waiting, spoke, self._spoke = self._waiting, "", self._spoke, False
        spoken = "" if spoke or not text else speakable(text, self._language)
        return SpokenText(text, spoken) if spoken else None


def split_into_sentences(text: str, max_chars: int, language: str = "") -> Iterator[SpokenText]:
    """Splits `text` into sentences of at most `max_chars` characters as written; longer ones are cut at clauses.

    Text that cannot be spoken is skipped.  Sentences are yielded one by one, so that an event loop can serve others in
    between.
    """
    segmenter, verbalizer = Segmenter(max_chars=max_chars, first_clause_chars=0), Verbalizer(language)
    for segments in (segmenter.push(text), segmenter.flush()):
        for segment in segments:
            if spoken := verbalizer.add(segment.text):
                yield spoken
    if spoken := verbalizer.finish():
        yield spoken


def split_sentence(text: str, max_chars: int, spoken: str = "", language: str = "") -> list[SpokenText]:
    """Splits a sentence into parts of at most `max_chars` characters as written; `spoken` is the known spoken form."""
    text = " ".join(without_invisible(text).split())
    if spoken and len(text) <= max_chars:
        return [SpokenText(text, spoken)]
    if len(text) <= max_chars:
        verbalizer = Verbalizer(language)
        part = verbalizer.add(text) or verbalizer.finish()
        return [part] if part else []
    return list(split_into_sentences(text, max_chars, language))


def with_end(spoken: str) -> str:
    """`spoken` with a full stop if it ends in a word: speech models go on talking after a sentence without an end."""
    return f"{spoken}." if spoken and spoken[-1].isalnum() else spoken


def is_speakable(text: str) -> bool:
    """Whether `text` contains anything that can be spoken: words, numbers, emoji."""
    return any(True for _ in split_into_sentences(text, 1000))
