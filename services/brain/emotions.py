"""The names of the 49 emotions in requests and replies."""

from __future__ import annotations

import difflib
import re

from oviya.emotions.tables import load_emotions
from oviya.errors import InvalidInput

EMOTIONS = frozenset(load_emotions())

MAX_SUGGESTIONS = 3
MAX_NAME_CHARS = 64


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
