"""Swaps the first and second person: "i feel that you hate me" becomes "you feel that I hate you"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from services.brain.tables import load_table

_TABLES = load_table("reflection")
_FIRST_TO_SECOND, _SECOND_TO_FIRST, _BE, _BE_BACK = (
    cast("dict[str, str]", _TABLES[name]) for name in ("first_to_second", "second_to_first", "be", "be_back")
)
_VERBS, _TAKES_OBJECT, _ADVERBS, _AUXILIARIES, _ANYBODY = (
    frozenset(_TABLES[name]) for name in ("verbs", "takes_object", "adverbs", "auxiliaries", "anybody")
)
_SUBJECT_I = frozenset({"i", "we"})

_QUESTION_BE = frozenset({"are", "were"})


def reflect(text: str) -> str:
    """Reflects normalized words (see `utterance.py`); "I" has its capital."""
    words = text.split()
    result: list[str] = []
    for at, word in enumerate(words):
        previous, following = _at(words, at - 1), _at(words, at + 1)
        if word in _FIRST_TO_SECOND:
            result.append(_FIRST_TO_SECOND[word])
        elif word in _BE and (_is_subject(words, at) or (following in _SUBJECT_I and previous != "than")):
            result.append(_BE[word])
        elif word == "you":
            result.append("you" if _means_anybody(words, at) else _first_person(words, at))
        elif word in _BE_BACK and ((previous == "you" and result[-1] == "I") or _asks_you(words, at)):
            result.append(_BE_BACK[word])
        elif word in _SECOND_TO_FIRST:
            result.append(_SECOND_TO_FIRST[word])
        else:
            result.append(word)
    return " ".join(result)


def _at(words: Sequence[str], index: int) -> str:
    return words[index] if 0 <= index < len(words) else ""


def _is_subject(words: Sequence[str], verb_at: int) -> bool:
    """Whether "i" or "we" precedes the verb at `verb_at`, directly or before an adverb."""
    if _at(words, verb_at - 1) in _SUBJECT_I:
        # The verb follows "i" in "my brother and i was" as well.
        return True
    return _at(words, verb_at - 2) in _SUBJECT_I and _at(words, verb_at - 1) in _ADVERBS


def _asks_you(words: Sequence[str], at: int) -> bool:
    return (
        words[at] in _QUESTION_BE
        and _at(words, at + 1) == "you"
        and (at == 0 or _at(words, at - 1) in {"who", "what", "how", "where", "why", "when"})
    )


def _means_anybody(words: Sequence[str], at: int) -> bool:
    return _at(words, at - 1) in _ANYBODY and _at(words, at + 1) not in {"said", "say", "told", "asked"}


def _first_person(words: Sequence[str], at: int) -> str:
    previous, following = _at(words, at - 1), _at(words, at + 1)
    if previous in _TAKES_OBJECT and following not in _BE_BACK:
        return "me"
    if following in _VERBS or previous in _AUXILIARIES:
        return "I"
    return "I" if at == 0 and following else "me"
