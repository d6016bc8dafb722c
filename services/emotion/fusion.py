"""Words and voice together, and one turn after the other.

Each side is a distribution over the emotions and a confidence; together they are their mean, weighed with the
confidence.  A mood does not jump: a part of the last turn's stays, and the place in the plane of valence and arousal
moves at most `MAX_STEP` a turn.  Where it is held back (joy right after grief), the emotions near the place that it
has reached take the share that the new ones have not earned yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oviya.emotions.tables import NEUTRAL
from services.emotion.affect import Affect, Shares, centre, mixed, ranked

TOP = 5
"""Emotions in a judgement, at most."""

NEUTRAL_WORDS_TRUST = 0.05
"""Weight of words that show no feeling against a voice: most sad sentences are plain words."""
LEAST_WEIGHT = 0.02
KEPT = 0.25
"""Share of the last turn's mood in this one's, where it was not neutral: nothing lasts of having felt nothing."""
MAX_STEP = 0.9
"""Longest way in the plane from one turn to the next; from grief to joy it is 1.7."""
NEARNESS = 0.3
"""Spread of the emotions that stand for a place in the plane."""
KINSHIP = 0.35
"""Spread in the plane within which emotions speak for one another: sad and tired together outweigh neutral."""
TOO_FAR = 1.1
"""Two emotions further apart than this are not felt at once: the weaker one is doubt about the stronger."""


@dataclass(frozen=True, slots=True)
class Side:
    """What words, or a voice, say by themselves."""

    shares: Shares
    confidence: float


@dataclass(frozen=True, slots=True)
class Mood:
    """What a turn leaves.

    Attributes:
        shares: the emotions; empty: there was no turn.
        affect: their place.
    """

    shares: Mapping[str, float]
    affect: Affect


NO_MOOD = Mood({}, Affect(0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Feeling:
    """What somebody feels.

    Attributes:
        emotions: (emotion, share), best first, at most `TOP`.
        affect: pleasantness and activation.
        confidence: in the first emotion, 0 (a guess) to 1.
        mood: for the next turn.
    """

    emotions: tuple[tuple[str, float], ...]
    affect: Affect
    confidence: float
    mood: Mood


def fuse(words: Side | None, voice: Side | None) -> Side:
    """Both sides as one; without any it is neutral and a guess."""
    if words is None or voice is None:
        return words or voice or Side({NEUTRAL: 1.0}, 0.0)
    plainness = words.shares.get(NEUTRAL, 0.0)
    trust = 1 - (1 - NEUTRAL_WORDS_TRUST) * plainness
    words_weight = max(words.confidence * trust, LEAST_WEIGHT)
    voice_weight = max(voice.confidence, LEAST_WEIGHT)
    share = voice_weight / (words_weight + voice_weight)
    confidence = (1 - share) * words.confidence + share * voice.confidence
    return Side(mixed(words.shares, voice.shares, share), confidence)


def follow(now: Side, before: Mood, affects: Mapping[str, Affect]) -> Feeling:
    """This turn's feeling after the last turn's mood."""
    if not before.shares:
        return _feeling(now.shares, centre(now.shares, affects), now.confidence, affects)
    shares = mixed(now.shares, before.shares, KEPT * (1 - before.shares.get(NEUTRAL, 0.0)))
    wanted = centre(shares, affects)
    way = wanted.distance(before.affect)
    if way <= MAX_STEP:
        return _feeling(shares, wanted, now.confidence, affects)
    part = MAX_STEP / way
    reached = Affect(
        before.affect.valence + part * (wanted.valence - before.affect.valence),
        before.affect.arousal + part * (wanted.arousal - before.affect.arousal),
    )
    near = {name: math.exp(-0.5 * (affect.distance(reached) / NEARNESS) ** 2) for name, affect in affects.items()}
    total = sum(near.values())
    bridged = {name: share / total for name, share in near.items()}
    # What was felt in either turn is likelier than its mere neighbours.
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
    """The emotion that is felt: the largest, its kin counted with it; neutral has no kin."""
    felt = [name for name in shares if name != NEUTRAL]

    def backing(name: str) -> float:
        return sum(
            shares[other] * math.exp(-0.5 * (affects[name].distance(affects[other]) / KINSHIP) ** 2) for other in felt
        )

    largest = [name for name, _ in ranked({name: shares[name] for name in felt}, TOP)]
    first = max(largest, key=lambda name: (backing(name), name), default=NEUTRAL)
    return first if first != NEUTRAL and backing(first) > shares.get(NEUTRAL, 0.0) else NEUTRAL
