"""Finds feelings that the speaker denies: "i am not happy", "i don't feel good at all".

A bag of words reads "i am not happy" as happy, and so does a small network, since such sentences are rare in training.
Only the speaker's own feelings count: elsewhere a negation is mostly part of an idiom that the classifier knows ("can't
wait", "don't understand", "not funny").
"""

from __future__ import annotations

import re

REACH = 3
"""Words after a negation that it applies to, as in VADER (Hutto and Gilbert 2014)."""

_OPENING = re.compile(
    r"\b(?:(?:i am|i'm|im|i was|i've been|i have been|we are|we're) (?:really |just |still |absolutely )?not"
    r"|i (?:wasn't|wasnt|ain't|aint)"
    r"|(?:i|we) (?:don't|dont|do not|didn't|didnt|did not|can't|cant|cannot|never) (?:really )?(?:feel|feeling))\b"
)
_WORD = re.compile(r"[a-z']+|[^\sa-z']")
_STOPS = frozenset({"but", "because", "so", "and", "yet", "although", "though", "however", "or", "only", "just"})


def denied_words(text: str) -> list[str]:
    """Returns the words that the speaker denies to feel; `text` is lower case with straight quotes."""
    denied: list[str] = []
    for opening in _OPENING.finditer(text):
        reached = _WORD.findall(text[opening.end() : opening.end() + 60])[:REACH]
        for word in reached:
            if word in _STOPS or not word[0].isalpha():
                break
            denied.append(word)
    return denied
