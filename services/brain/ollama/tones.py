"""Default emotions for sentences without an emotion tag."""

from __future__ import annotations

from oviya.emotions.tables import load_tone_policy
from services.brain.backend import Tone
from services.brain.emotions import EMOTIONS

UNKNOWN_FEELING = "calm_supportive"
"""Stands for an unknown feeling of the user."""
_POLICY = load_tone_policy(EMOTIONS)


def default_emotion(sentence: str, user_emotion: str, tone: Tone | None = None) -> str:
    """The emotion of a reply's first sentence.

    Args:
        sentence: the sentence; a question has another emotion.
        user_emotion: what the user feels; empty: unknown.
        tone: the tone to answer in; None: by what the user feels.
    """
    policy = tone or _POLICY[user_emotion or UNKNOWN_FEELING]
    return policy.ask if sentence.rstrip("\"'\u201d\u2019) ").endswith("?") else policy.support
