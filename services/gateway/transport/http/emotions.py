"""The table of emotions for the page: /emotions.json."""

from __future__ import annotations

from typing import Any

from oviya.emotions.tables import load_emotions


def emotion_map() -> dict[str, Any]:
    """Returns the content of /emotions.json: every emotion with its style, and its valence and arousal, -1 to 1."""
    return {
        "emotions": [
            {
                "emotion": emotion.name,
                "tier": emotion.tier,
                "style": emotion.style,
                "valence": emotion.valence,
                "arousal": emotion.arousal,
            }
            for emotion in load_emotions().values()
        ]
    }
