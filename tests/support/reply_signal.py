"""Is a reply the fallback voice's own signal, whole and in order?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from oviya.v1.emotion_pb2 import ProsodyPlan
from services.gateway.voice.fallback import FallbackVoice
from services.gateway.voice.segment import VOICE_RATE_HZ

WINDOW = round(0.25 * VOICE_RATE_HZ)
"""About a syllable: a lost, doubled or swapped one shows in some window."""


async def synthesize(sentences: list[dict[str, Any]], speaker: int = 0) -> Pcm:
    """Returns what the fallback voice makes of the sentences in a command's JSON, shape (samples,), at 24 kHz."""
    voice = FallbackVoice()
    try:
        return np.concatenate(
            [
                piece
                for sentence in sentences
                async for piece in voice.speak(sentence["text"], _scales(sentence["plan"]), speaker)
            ]
        )
    finally:
        await voice.close()


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Normalised cross-correlation at lag 0 of two signals of one shape, -1 to 1."""
    product = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.dot(one, other)) / product if product else 0.0


def worst_window(reply: Pcm, source: Pcm) -> float:
    """Returns the lowest correlation of all windows in which the source speaks."""
    loud = np.sqrt(np.mean(source**2)) / 4
    return min(
        correlation(reply[start : start + WINDOW], source[start : start + WINDOW])
        for start in range(0, len(source) - WINDOW, WINDOW)
        if np.sqrt(np.mean(source[start : start + WINDOW] ** 2)) > loud
    )


def level_dbov(samples: Pcm) -> float:
    """Root mean square in dB relative to full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(np.float64) ** 2)) + 1e-9))


def _scales(plan: dict[str, Any]) -> ProsodyPlan:
    return ProsodyPlan(**{name: plan[name] for name in ("pitch_scale", "rate_scale", "energy_scale")})
