"""Normalizes typed text and transcripts, so that patterns can match them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oviya.text.tables import inverted
from services.brain.listener.phrases import Phrases
from services.brain.tables import load_table

MAX_SEGMENT_WORDS = 60
"""A text may have no full stops; longer segments are cut, to bound the search of patterns."""

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'"})
_TITLE_DOT = re.compile(r"\b(mr|mrs|ms|dr|prof|st)\.")
_BREAK = re.compile(r"(?:(?<!\d)[.]|[.](?!\d)|[?!;\n\u2026])+|\s[-\u2013\u2014]+\s|\u2014")
_WORD = re.compile(r"[^\W_]+(?:['.\-][^\W_]+)*")

_CLAUSE_BREAK = re.compile(r"[,:()\"]+")
_TABLES = load_table("normalization")
CONJUNCTIONS, _CLAUSE_STARTS, _S_IS, _AFTER_HAS = (
    frozenset(_TABLES[name]) for name in ("conjunctions", "clause_starts", "s_is", "after_has")
)
_LEADS_ON = CONJUNCTIONS | frozenset(_TABLES["leads_on"])
_INTRODUCED = ("my name is", "call me")
"""A name of one word follows."""

# `normalize_words` handles "it's", which depends on the next word.
_SAME = inverted(_TABLES["spellings"])
_NOT: dict[str, str] = _TABLES["not"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A normalized text of the user.

    Attributes:
        segments: sentences, or parts of long ones, as lower-case words separated by single spaces; none is empty.
        greeted: a greeting before the rest was removed.
        clauses: the independent clauses of each segment; empty for segments with one clause.
    """

    segments: tuple[str, ...]
    greeted: bool = False
    clauses: tuple[tuple[str, ...], ...] = ()

    @property
    def whole(self) -> str:
        return " ".join(self.segments)


class UtteranceParser:
    """Parses what users say.

    Args:
        fillers: phrases without a meaning at the start of a sentence ("well", "you know").
        greetings: greetings; removed if more text follows.
        emoji: words for emoji without a text.
    """

    def __init__(self, fillers: Iterable[str], greetings: Iterable[str], emoji: Mapping[str, str]) -> None:
        self._greetings = frozenset(greetings)
        # Fillers and greetings, and whether they are greetings.
        self._openings = Phrases(dict.fromkeys(fillers, False) | dict.fromkeys(self._greetings, True))
        self._emoji = {strip_invisible(sign): words for sign, words in emoji.items()}

    def read(self, text: str) -> Utterance:
        """Splits `text` into segments; a text without words has the words of its emoji, or no segment."""
        clean = strip_invisible(text).translate(_QUOTES).lower()
        clean = _TITLE_DOT.sub(r"\1", clean)
        segments: list[str] = []
        clauses: list[tuple[str, ...]] = []
        greeted = False
        for part in _BREAK.split(clean):
            words = normalize_words(_WORD.findall(part))
            for start in range(0, len(words), MAX_SEGMENT_WORDS):
                segment, after_greeting = self._without_opening(words[start : start + MAX_SEGMENT_WORDS])
                greeted = greeted or after_greeting
                segments.append(" ".join(segment))
                several = start == 0 and len(words) <= MAX_SEGMENT_WORDS
                clauses.append(self._clauses(part) if several else ())
        if not greeted and len(segments) > 1 and segments[0] in self._greetings:
            segments, clauses, greeted = segments[1:], clauses[1:], True
        if not segments:
            segments = list(dict.fromkeys(self._emoji[sign] for sign in clean if sign in self._emoji))
            clauses = [()] * len(segments)
        return Utterance(tuple(segments), greeted, tuple(clauses))

    def _clauses(self, text: str) -> tuple[str, ...]:
        """The independent clauses of a text; empty if there is only one."""
        parts = [
            clause
            for part in _CLAUSE_BREAK.split(text)
            for clause in _independent(normalize_words(_WORD.findall(part)))
            if clause
        ]
        return tuple(" ".join(self._without_opening(part)[0]) for part in parts) if len(parts) > 1 else ()

    def _without_opening(self, words: list[str]) -> tuple[list[str], bool]:
        """Removes fillers and greetings from the start while at least two words remain."""
        greeted = False
        while words and (found := self._openings.at(words, 0)):
            rest = words[len(found.phrase.split()) :]
            if len(rest) < 2:
                break
            words, greeted = rest, greeted or found.value
        return words, greeted


def _independent(words: list[str]) -> list[list[str]]:
    """Splits `words` before each independent clause."""
    clauses: list[list[str]] = []
    begin = 0
    for at in range(1, len(words)):
        word, before = words[at], words[at - 1]
        if word in CONJUNCTIONS and at + 1 < len(words) and words[at + 1] in _CLAUSE_STARTS:
            clauses.append(words[begin:at])
            begin = at + 1
        elif at > begin and (
            (word == "i" and before not in _LEADS_ON) or (at + 1 < len(words) and _ends_introduction(words[begin:at]))
        ):
            clauses.append(words[begin:at])
            begin = at
    return [*clauses, words[begin:]]


def _ends_introduction(words: list[str]) -> bool:
    return " ".join(words[:-1]).endswith(_INTRODUCED)


def normalize_words(words: Sequence[str]) -> list[str]:
    """Expands contractions and short spellings."""
    spelled: list[str] = []
    for word in words:
        spelled += _SAME.get(word, word).split()
    result: list[str] = []
    for at, word in enumerate(spelled):
        following = spelled[at + 1] if at + 1 < len(spelled) else ""
        if word == "not" and result and result[-1] in _NOT:
            result[-1] = _NOT[result[-1]]
        elif word.endswith("'s") and word[:-2] in _S_IS:
            result += [word[:-2], "has" if following in _AFTER_HAS else "is"]
        else:
            result.append(word)
    return result


def strip_invisible(text: str) -> str:
    """`text` without invisible characters, skin tones and joiners."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).replace("\u200d", "")


def sentence_key(sentence: str) -> str:
    """The words of a sentence: sentences with the same key sound the same."""
    return " ".join(_WORD.findall(sentence.translate(_QUOTES).lower()))


def sentences_of(text: str) -> list[str]:
    """Splits a text with punctuation into sentences."""
    return [sentence for sentence in re.split(r"(?<=[.?!])\s+", text.strip()) if sentence]
