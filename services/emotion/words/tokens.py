"""Splits written or transcribed English into tokens for the lexicon."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("data")

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""Zero-width characters, variation selectors and skin tones: they do not change the meaning of a sign."""

_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})

# An emoticon starts its word ("nice :)"), so that the colon and letter of "at 5:does" stay apart.
_EMOTICON = r"(?<!\w)(?:[:;=]'?-?[)(\]\[dDpP/\\|]+|[()]-?[:;=]|<3|[xX]D+\b|/s\b)"
_TOKEN = re.compile(
    rf"(?P<emoticon>{_EMOTICON})|(?P<word>[^\W_]+(?:['*][^\W_]+)*\*?)|(?P<mark>[.!?,;:\n])|(?P<sign>[^\s\w])"
)

_DRAWN = re.compile(r"([^\W\d_])\1{2,}")

_SHORT_FORMS: dict[str, str] = tomllib.loads((DATA / "short-forms.toml").read_text("utf-8"))
_ENDINGS = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, sign or punctuation mark.  `stress` is above 1 if it was SHOUTED or drawn ooout."""

    text: str
    stress: float = 1.0
    is_mark: bool = False


SHOUTED = 1.25
DRAWN_OUT = 1.2


def tokenize(text: str, vocabulary: Collection[str] = ()) -> list[Token]:
    """Returns the tokens of `text`: lower case, contractions expanded ("n't" is "not"), emoji one by one.

    A letter that is repeated three times or more is reduced to two ("goood"), or to one if only that gives a word of
    `vocabulary` ("booored").
    """
    clean = _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).replace("\u200d", "").translate(_QUOTES)
    # In a text of capitals only, no word is emphasized.
    has_lower_case = any(letter.islower() for letter in clean)
    tokens: list[Token] = []
    for match in _TOKEN.finditer(clean):
        piece = match.group()
        if match.lastgroup == "word":
            tokens += _words(piece, has_lower_case, vocabulary)
        else:
            tokens.append(Token(piece.lower(), is_mark=match.lastgroup == "mark"))
    return tokens


def _words(piece: str, has_lower_case: bool, vocabulary: Collection[str]) -> list[Token]:
    stress = SHOUTED if has_lower_case and len(piece) > 1 and piece.isupper() else 1.0
    word = piece.lower()
    if _DRAWN.search(word):
        once = _DRAWN.sub(r"\1", word)
        twice = _DRAWN.sub(r"\1\1", word)
        word = once if once in vocabulary and twice not in vocabulary else twice
        stress *= DRAWN_OUT
    if word in _SHORT_FORMS:
        return [Token(part, stress) for part in _SHORT_FORMS[word].split()]
    for ending, full in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return [Token(word.removesuffix(ending), stress), Token(full, stress)]
    return [Token(word.removesuffix("'s"), stress)]
