"""The 49 emotions: their names in requests and replies, and those of sentences without an emotion tag."""

from __future__ import annotations

import difflib
import re

from oviya.emotions.tables import load_emotions, load_tone_policy
from oviya.errors import InvalidInput
from services.brain.backend import Tone

EMOTIONS = frozenset(load_emotions())

MAX_SUGGESTIONS = 3
MAX_NAME_CHARS = 64

UNKNOWN_FEELING = "calm_supportive"
"""Stands for an unknown feeling of the user."""
_POLICY = load_tone_policy(EMOTIONS)


def known_emotion(name: str, *, field: str) -> str:
    """Normalizes the name of an emotion; empty stays empty.

    Raises:
        InvalidInput: it is not one of the 49; the error suggests similar names.
    """
    key = re.sub(r"[\s_-]+", "_", name[: MAX_NAME_CHARS + 1].strip().lower())
    if key and (key not in EMOTIONS or len(name) > MAX_NAME_CHARS):
        nearest = difflib.get_close_matches(key, sorted(EMOTIONS), n=MAX_SUGGESTIONS)
        raise InvalidInput(
            field, name, f"empty or one of the {len(EMOTIONS)} emotions", hint="EmotionService.Map knows the aliases",
            suggestions=nearest,
        )  # fmt: skip
    return key


def default_emotion(sentence: str, user_emotion: str, tone: Tone | None = None) -> str:
    """The emotion of a reply's first sentence; questions have another one.  `tone` overrides the user's emotion."""
    policy = tone or _POLICY[user_emotion or UNKNOWN_FEELING]
    return policy.ask if sentence.rstrip("\"'\u201d\u2019) ").endswith("?") else policy.support
