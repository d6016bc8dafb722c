"""Fuses the estimates from words and voice, and smooths them over the turns of a conversation.

An estimate is a distribution over the emotions and a confidence.  Two estimates are averaged with their confidences as
weights.  A part of the last turn's mood stays, and valence and arousal move at most `MAX_STEP` a turn.  Where that
limit applies (joy right after grief), the emotions near the point that is reached get the share that the new ones do
not get yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oviya.emotions.tables import NEUTRAL
from services.emotion.affect import Affect, Shares, centre, mixed, ranked

TOP = 5
"""Most emotions in a feeling."""

NEUTRAL_WORDS_TRUST = 0.05
"""Factor on the weight of words that are neutral: most sad sentences are plain words."""
MIN_WEIGHT = 0.02
KEPT = 0.25
"""Share of the last turn's mood in this one's, as far as it was not neutral."""
MAX_STEP = 0.9
"""Largest change of valence and arousal from one turn to the next; from grief to joy it is 1.7."""
NEARNESS = 0.3
"""Spread, in valence and arousal, of the emotions that stand for a point."""
KINSHIP = 0.35
"""Spread within which emotions support each other: sad and tired together outweigh neutral."""
TOO_FAR = 1.1
"""Two emotions further apart than this are not felt at once: the weaker one is left out."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What words or a voice show: a distribution over the emotions, and a confidence from 0 to 1."""

    shares: Shares
    confidence: float


@dataclass(frozen=True, slots=True)
class Mood:
    """What a turn leaves for the next one.

    Attributes:
        shares: the emotions; empty before the first turn.
        affect: their valence and arousal.
    """

    shares: Mapping[str, float]
    affect: Affect


NO_MOOD = Mood({}, Affect(0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Feeling:
    """What the user feels.

    Attributes:
        emotions: (emotion, share), best first, at most `TOP`.
        affect: valence and arousal.
        confidence: in the first emotion, 0 (a guess) to 1.
        mood: for the next turn.
    """

    emotions: tuple[tuple[str, float], ...]
    affect: Affect
    confidence: float
    mood: Mood


def fuse(words: Estimate | None, voice: Estimate | None) -> Estimate:
    """Fuses two estimates; without any, the result is neutral with confidence 0."""
    if words is None or voice is None:
        return words or voice or Estimate({NEUTRAL: 1.0}, 0.0)
    plainness = words.shares.get(NEUTRAL, 0.0)
    trust = 1 - (1 - NEUTRAL_WORDS_TRUST) * plainness
    words_weight = max(words.confidence * trust, MIN_WEIGHT)
    voice_weight = max(voice.confidence, MIN_WEIGHT)
    share = voice_weight / (words_weight + voice_weight)
    confidence = (1 - share) * words.confidence + share * voice.confidence
    return Estimate(mixed(words.shares, voice.shares, share), confidence)


def smooth(now: Estimate, before: Mood, affects: Mapping[str, Affect]) -> Feeling:
    """Returns this turn's feeling, given the last turn's mood."""
    if not before.shares:
        return _feeling(now.shares, centre(now.shares, affects), now.confidence, affects)
    shares = mixed(now.shares, before.shares, KEPT * (1 - before.shares.get(NEUTRAL, 0.0)))
    wanted = centre(shares, affects)
    distance = wanted.distance(before.affect)
    if distance <= MAX_STEP:
        return _feeling(shares, wanted, now.confidence, affects)
    part = MAX_STEP / distance
    reached = Affect(
        before.affect.valence + part * (wanted.valence - before.affect.valence),
        before.affect.arousal + part * (wanted.arousal - before.affect.arousal),
    )
    near = {name: math.exp(-0.5 * (affect.distance(reached) / NEARNESS) ** 2) for name, affect in affects.items()}
    total = sum(near.values())
    bridged = {name: share / total for name, share in near.items()}
    # Emotions of the two turns are likelier than others near the same point.
    likely = {name: share * (bridged[name] / max(bridged.values()) + 0.05) for name, share in shares.items()}
    scale = sum(likely.values())
    kept = {name: share / scale for name, share in likely.items()}
    return _feeling(mixed(kept, bridged, 1 - part), reached, now.confidence * part, affects)


def _feeling(shares: Shares, affect: Affect, confidence: float, affects: Mapping[str, Affect]) -> Feeling:
    first = _first(shares, affects)
    fitting = {name: share for name, share in shares.items() if affects[name].distance(affects[first]) <= TOO_FAR}
    best = ((first, shares[first]), *(pair for pair in ranked(fitting, TOP) if pair[0] != first))[:TOP]
    return Feeling(best, affect, confidence * shares[first] ** 0.5, Mood(dict(ranked(shares, TOP)), affect))


def _first(shares: Shares, affects: Mapping[str, Affect]) -> str:
    """Returns the emotion with the largest share, including that of similar ones; neutral has no similar ones."""
    felt = [name for name in shares if name != NEUTRAL]

    def support(name: str) -> float:
        return sum(
            shares[other] * math.exp(-0.5 * (affects[name].distance(affects[other]) / KINSHIP) ** 2) for other in felt
        )

    largest = [name for name, _ in ranked({name: shares[name] for name in felt}, TOP)]
    first = max(largest, key=lambda name: (support(name), name), default=NEUTRAL)
    return first if first != NEUTRAL and support(first) > shares.get(NEUTRAL, 0.0) else NEUTRAL
