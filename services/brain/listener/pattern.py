"""Compiles the listener's patterns to regular expressions.

A pattern matches a whole segment of normalized words:

    word            that word
    *               any words, or none
    (a|b c)         one of these
    [a|b c]         one of these, or nothing
    {x}             one or more words, captured as x
    {x@feeling}     a phrase of the word set "feeling", captured as x
    @feeling        a phrase of that set
    @feeling?       the same, or nothing
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

_PART = re.compile(
    r"(?P<any>\*)"
    r"|\{(?P<slot>[a-z]+)(?:@(?P<slot_set>[a-z_.]+))?\}"
    r"|@(?P<set>[a-z_.]+)(?P<optional>\?)?"
    r"|\((?P<one>[^()\[\]{}]+)\)"
    r"|\[(?P<maybe>[^()\[\]{}]+)\]"
    r"|(?P<word>[^\s()\[\]{}|*@]+)"
    r"|(?P<space>\s+)"
    r"|(?P<bad>.)"
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern.

    Attributes:
        source: the pattern as written.
        required: the first words of each required part, for a quick test.
        slots: names of the captures.
    """

    source: str
    required: tuple[frozenset[str], ...]
    slots: frozenset[str]
    _regex: re.Pattern[str]

    def match(self, segment: str, words: Collection[str]) -> dict[str, str] | None:
        """The captures, or None if the pattern does not match.  `words` are the segment's words as a set."""
        for beginnings in self.required:
            if beginnings.isdisjoint(words):
                return None
        found = self._regex.fullmatch(segment + " ")
        return {name: value.strip() for name, value in found.groupdict().items()} if found else None


def compile_pattern(source: str, sets: Mapping[str, Collection[str]]) -> Pattern:
    """Compiles one pattern.

    Raises:
        ValueError: a part is malformed, or a set is unknown or empty.
    """
    parts = [_compile_part(part, source, sets) for part in _PART.finditer(source) if not part["space"]]
    slots = [part.slot for part in parts if part.slot]
    if len(set(slots)) < len(slots):
        raise ValueError(f"pattern {source!r}: a slot is used twice")
    if not parts:
        raise ValueError("a pattern is empty")
    regex = re.compile("".join(part.regex for part in parts))
    return Pattern(source, tuple(part.required for part in parts if part.required), frozenset(slots), regex)


class _Part(NamedTuple):
    """A compiled part: its expression, its possible first words (empty: any), its slot."""

    regex: str
    required: frozenset[str] = frozenset()
    slot: str = ""


def _compile_part(part: re.Match[str], source: str, sets: Mapping[str, Collection[str]]) -> _Part:
    if part["bad"]:
        raise ValueError(f"pattern {source!r}: {part['bad']!r} at {part.start()} is not valid")
    if part["any"]:
        return _Part(r"(?:\S+ )*?")
    if part["word"]:
        return _Part(re.escape(part["word"]) + " ", frozenset({part["word"]}))
    if part["maybe"]:
        return _Part(_one_of(_options(part["maybe"], source)) + "?")
    if part["one"]:
        options = _options(part["one"], source)
        return _Part(_one_of(options), _first_words(options))
    slot, set_name = part["slot"] or "", part["slot_set"] or part["set"]
    if set_name and not sets.get(set_name):
        raise ValueError(f"pattern {source!r}: there is no word set {set_name!r}")
    body = _one_of(sets[set_name]) if set_name else r"(?:\S+ )+?"
    if slot:
        body = f"(?P<{slot}>{body})"
    if part["optional"]:
        return _Part(body + "?", slot=slot)
    return _Part(body, _first_words(sets[set_name]) if set_name else frozenset(), slot)


def _first_words(phrases: Collection[str]) -> frozenset[str]:
    return frozenset(phrase.split()[0] for phrase in phrases)


def _options(text: str, source: str) -> list[str]:
    options = [" ".join(option.split()) for option in text.split("|")]
    if not all(options):
        raise ValueError(f"pattern {source!r}: an alternative is empty")
    return options


def _one_of(options: Collection[str]) -> str:
    longest_first = sorted(options, key=lambda option: (-len(option), option))
    return "(?:" + "|".join(re.escape(option) + " " for option in longest_first) + ")"
