"""Parses the emotion tags that a language model writes before a sentence: "[curious] What happened then?".

Models omit the tag, misspell it, invent names, leave the bracket open or use other brackets.  A text that is clearly a
tag is never spoken.  A text that may be part of the sentence is a tag only if it names one of the 49 emotions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from oviya.emotions.tables import load_aliases
from services.brain.emotions import EMOTIONS

ALIASES = {alias.name: alias.in_reply for alias in load_aliases() if alias.in_reply}
"""What else models call an emotion, and which of the 49 it is."""
"""Other names that models use, and the emotion that each of them means."""

Kind = Literal["given", "alias", "misspelled", "unknown", "missing"]

MIN_LIKENESS = 0.75
"""difflib ratio from which a name counts as a misspelling: one or two wrong letters in ten."""

_NAME = r"([A-Za-z][A-Za-z_ -]{1,30}?)"
_WORD = r"(?:emotion|mood|tone|feeling)\s{0,3}[:=]\s{0,3}"
_NAMED = rf"\s{{0,3}}(?:{_WORD})?{_NAME}\s{{0,3}}"
_AFTER = r"\s*+[:\u2013-]?\s*+"
_MARKS = r"[*_`\"]{0,2}"
_LEADING = re.compile(rf"{_MARKS}\[{_NAMED}(?:[,|/:][^\]\n]{{0,40}})?\](?!\(){_MARKS}{_AFTER}")
"""[curious], [Emotion: curious], **[curious, 0.8]**:"""
_OTHER = re.compile(rf"(?:\({_NAMED}\)|<{_NAMED}/?>|\{{{_NAMED}\}}|\*{{1,2}}{_NAMED}\*{{1,2}}){_AFTER}")
"""(curious), <curious>, {curious}, *curious*"""
_LABELLED = re.compile(
    rf"{_WORD}{_NAME}(?:\s{{0,3}}[.,;:|)\]\u2013-]\s*+|\s{{0,3}}$|\s{{1,3}}(?=(?-i:[A-Z\"])))", re.IGNORECASE
)
"""Emotion: curious."""
_BARE = re.compile(r"\[?\s{0,3}([a-z]{1,20}_[a-z]{1,20}|[A-Za-z]{1,30}(?=:\s))(?::)?\s{1,3}(?=\S)")
"""calm_supportive I hear you, curious: what then"""
_OPEN = re.compile(rf"\[\s{{0,3}}(?:{_WORD})?([A-Za-z_-]{{3,30}})[\s:,]{{1,5}}(?=\S)")
"""[curious What then"""
_INNER = re.compile(r"\[\s{0,3}([A-Za-z][A-Za-z_ -]{1,30}?)\s{0,3}\](?!\()")
_JOINING = frozenset({"a", "and", "bit", "but", "in", "little", "slightly", "softly", "tone", "very", "voice", "with"})
"""Words between the emotions of a tag such as "warm and a bit sad"."""


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A text and the emotion tag before it.

    Attributes:
        text: without the tag; may be empty.
        emotion: one of the 49; empty: there was no tag, or an unknown one.
        kind: how the emotion was given.
    """

    text: str
    emotion: str
    kind: Kind


def read_emotion_tags(text: str) -> Iterator[TaggedText]:
    """Splits a sentence at its emotion tags."""
    while True:
        text = text.lstrip()
        found = _leading(text)
        rest = text if found is None else found[1]
        kind, emotion = ("missing", "") if found is None else found[0]
        inner = next((tag for tag in _INNER.finditer(rest) if _named(tag[1])[1]), None)
        if inner is None:
            yield TaggedText(rest.strip(), emotion, kind)
            return
        if rest[: inner.start()].strip() or found is not None:
            yield TaggedText(rest[: inner.start()].strip(), emotion, kind)
        text = rest[inner.start() :]


def _leading(text: str) -> tuple[tuple[Kind, str], str] | None:
    """Parses the tag at the start of `text`; returns it and the text after it.  None: there is no tag."""
    if tag := _LEADING.match(text):
        return _named(tag[1]), text[tag.end() :]
    for pattern in (_OTHER, _LABELLED, _OPEN, _BARE):
        tag = pattern.match(text)
        if tag is None:
            continue
        name = next(group for group in tag.groups() if group)
        kind, emotion = _named(name)
        if pattern in (_OTHER, _BARE) and not _stands_apart(tag, text, name):
            continue  # "*Sorry* about that", "Surprise: it works"
        if kind in ("given", "alias") or (emotion and pattern in (_LABELLED, _OPEN)):
            return (kind, emotion), text[tag.end() :]
        if pattern is _LABELLED and " " not in name.strip():
            return ("unknown", ""), text[tag.end() :]
    return None


def _stands_apart(tag: re.Match[str], text: str, name: str) -> bool:
    """Whether a name without square brackets is a tag, not the first word of the sentence.

    A tag is in lower case, as the prompt shows it, is a single name, and is followed by the beginning of a sentence.
    """
    key = _key(name)
    if key not in EMOTIONS and key not in ALIASES:
        return False
    if text.lstrip()[:1] in "<{" or "_" in name:
        return True
    following = text[tag.end() :][:1]
    return name[0].islower() and not following.islower() and following not in (",", ".")


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


@lru_cache(maxsize=4096)
def _named(name: str) -> tuple[Kind, str]:
    """How `name` gives an emotion, and which of the 49 it is."""
    key = _key(name)
    if key in EMOTIONS:
        return "given", key
    if key in ALIASES:
        return "alias", ALIASES[key]
    if nearest := difflib.get_close_matches(key, [*EMOTIONS, *ALIASES], n=1, cutoff=MIN_LIKENESS):
        return "misspelled", ALIASES.get(nearest[0], nearest[0])
    words = [word for word in key.split("_") if word not in _JOINING]
    if words and all(word in EMOTIONS or word in ALIASES for word in words):
        return "alias", ALIASES.get(words[0], words[0])
    return "unknown", ""
