"""Reads the tables of emotions that several services share, under `data/`.

`emotions.tsv` lists the emotions with their prosody and their place on Russell's circumplex (1980), `tone-policy.tsv`
the emotions that answer each of them, and `aliases.tsv` other names.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("data")

NEUTRAL = "neutral"
NUMBERS = ("pitch_scale", "rate_scale", "energy_scale", "valence", "arousal")
MOODS = ("heavy", "light", "plain")


@dataclass(frozen=True, slots=True)
class Emotion:
    """A row of `emotions.tsv`.

    Attributes:
        name: lower case, words joined by ``_``.
        tier: 1 (basic) to 3 (rare).
        style: style token of the CSM checkpoint.
        pitch_scale, rate_scale, energy_scale: factors on the neutral voice.
        valence, arousal: -1 to 1.
    """

    name: str
    tier: int
    style: str
    pitch_scale: float
    rate_scale: float
    energy_scale: float
    valence: float
    arousal: float


@dataclass(frozen=True, slots=True)
class TonePolicy:
    """A row of `tone-policy.tsv`: how a reply answers one feeling of the user.

    Attributes:
        mirror, support, ask: emotions of sentences that mirror the feeling, support the user, and ask.
        mood: which general sentences suit the feeling, one of `MOODS`.
        strength: factor on how much of the answering emotion is shown, 0 to 1.
        reason: why, in words.
    """

    mirror: str
    support: str
    ask: str
    mood: str
    strength: float
    reason: str


@dataclass(frozen=True, slots=True)
class Alias:
    """A row of `aliases.tsv`: a name that is not one of the 49, or that is also a prosody label.

    Attributes:
        name: lower case, words joined by ``_``.
        prosody_label: the label that EmotionService.Map reports for the name; empty if Map does not take it.
        in_reply: the emotion that a language model means by it in a reply; empty if none is known.
    """

    name: str
    prosody_label: str
    in_reply: str


def load_emotions(folder: Path = DATA) -> dict[str, Emotion]:
    """Returns the emotions by name, in the order of their table.

    Raises:
        ValueError: valence or arousal is out of range.
    """
    emotions: dict[str, Emotion] = {}
    for row in read_tsv(folder / "emotions.tsv"):
        numbers = (float(row[name]) for name in NUMBERS)
        emotion = Emotion(row["emotion"], int(row["tier"]), row["style"], *numbers)
        if not (-1 <= emotion.valence <= 1 and -1 <= emotion.arousal <= 1):
            raise ValueError(f"emotions.tsv: {emotion.name}: valence and arousal must be within -1 to 1")
        emotions[emotion.name] = emotion
    return emotions


def load_tone_policy(emotions: Collection[str], folder: Path = DATA) -> dict[str, TonePolicy]:
    """Returns how each feeling is answered.

    Raises:
        ValueError: a row is missing, names an unknown emotion or mood, or has a strength outside 0 to 1.
    """
    policy = {
        row["feeling"]: TonePolicy(
            row["mirror"], row["support"], row["ask"], row["mood"], float(row["strength"]), row["reason"]
        )
        for row in read_tsv(folder / "tone-policy.tsv")
    }
    if strange := sorted(set(policy) ^ set(emotions)):
        raise ValueError(f"tone-policy.tsv: missing rows or unknown emotions: {strange}")
    for feeling, row in policy.items():
        if strange := {row.mirror, row.support, row.ask} - set(emotions):
            raise ValueError(f"tone-policy.tsv: {feeling}: unknown emotions: {sorted(strange)}")
        if row.mood not in MOODS:
            raise ValueError(f"tone-policy.tsv: {feeling}: mood must be one of {MOODS}, not {row.mood!r}")
        if not 0 <= row.strength <= 1:
            raise ValueError(f"tone-policy.tsv: {feeling}: strength must be within 0 to 1")
    return policy


def load_aliases(folder: Path = DATA) -> list[Alias]:
    """Returns the other names, in the order of their table."""
    return [
        Alias(row["alias"], *("" if row[column] == "-" else row[column] for column in ("prosody_label", "in_reply")))
        for row in read_tsv(folder / "aliases.tsv")
    ]


def read_tsv(path: Path) -> Iterator[dict[str, str]]:
    """Yields the rows of a tab-separated table with a header line."""
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
