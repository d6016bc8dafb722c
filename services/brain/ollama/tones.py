"""Default emotions for sentences without an emotion tag."""

from __future__ import annotations

from oviya.emotions.tables import load_tone_policy
from services.brain.backend import Tone
from services.brain.emotions import EMOTIONS

UNKNOWN_FEELING = "calm_supportive"
"""Stands for an unknown feeling of the user."""
_POLICY = load_tone_policy(EMOTIONS)


def default_emotion(sentence: str, user_emotion: str, tone: Tone | None = None) -> str:
    """The emotion of a reply's first sentence; questions have another one.  `tone` overrides the user's emotion."""
    policy = tone or _POLICY[user_emotion or UNKNOWN_FEELING]
    return policy.ask if sentence.rstrip("\"'\u201d\u2019) ").endswith("?") else policy.support
