"""Which emotion a sentence is spoken with where the model has given none."""

from __future__ import annotations

from oviya.emotions.tables import load_tone_policy
from services.brain.backend import Tone
from services.brain.emotions import EMOTIONS

UNKNOWN_FEELING = "calm_supportive"
"""How somebody is met whose feeling nobody knows."""


class Tones:
    """The table of which emotion answers which feeling, as the listener uses it."""

    def __init__(self) -> None:
        self._policy = load_tone_policy(EMOTIONS)

    def default(self, sentence: str, user_emotion: str, tone: Tone | None = None) -> str:
        """The emotion for a reply's first sentence: one that asks or one that supports, in the tone that is asked for,
        or by what the user feels."""
        asks = sentence.rstrip("\"'\u201d\u2019) ").endswith("?")
        if tone is not None:
            return tone.ask if asks else tone.support
        row = self._policy[user_emotion or UNKNOWN_FEELING]
        return row.ask if asks else row.support
