"""What the listener knows: rules, feelings, topics, pools of sentences, as plain values that `loader.py` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oviya.emotions.tables import TonePolicy
from services.brain.listener.pattern import Pattern

SLOT = re.compile(r"\{([a-z]+)\}")

SESSION_SLOTS = frozenset(
    {"name", "recall", "summary", "state", "noun", "last", "about", "echo", "lost", "danger", "told"}
)
"""Slots that any template may use: what the session, not the matched pattern, fills."""


@dataclass(frozen=True, slots=True)
class Template:
    """One sentence, or two that belong together, with slots such as {x}; usable only where all slots are filled."""

    sentences: tuple[str, ...]
    slots: frozenset[str]

    def fill(self, values: Mapping[str, str]) -> tuple[str, ...] | None:
        if not all(values.get(slot) for slot in self.slots):
            return None
        return tuple(SLOT.sub(lambda slot: values[slot[1]], sentence) for sentence in self.sentences)


WEIGHTS = ("courtesy", "statement", "question", "feeling", "loss", "crisis")
"""What a rule answers, the lightest first: of several things in one utterance, the weightiest is answered."""

Pool = tuple[Template, ...]
Shape = tuple[tuple[str, ...], ...]
"""The sentences of a reply in order; each is a choice of pools, the first that has something to say is used."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What to answer to what.

    Attributes:
        id: its name; its own sentences are the pool "say".
        priority: the highest that matches wins.
        patterns: any of them must match a segment.
        after: where given, any of them must match a sentence of the listener's last turn.
        contains: slot -> word set of which the slot must hold a phrase.
        lacks: slot -> word set of which the slot must hold no phrase.
        same: slot -> session slot that must hold the same.
        needs: session slots that must be filled.
        shapes: the forms that its replies take in turn.
        state: sentence part for the slot {state}, e.g. "you feel {x}".
        feeling: id of the feeling that it shows; empty: none by itself.
        tone: emotion of its first sentence while the user's feeling is unknown; empty: the neutral tone.
        firm: its tone holds whatever the user feels.
        family: frames to compose from once its sentences are used up; empty: by the user's mood.
        weight: what it answers, as an index of `WEIGHTS`.
    """

    id: str
    priority: int
    patterns: tuple[Pattern, ...]
    after: tuple[Pattern, ...]
    contains: Mapping[str, str]
    lacks: Mapping[str, str]
    same: Mapping[str, str]
    needs: frozenset[str]
    shapes: tuple[Shape, ...]
    state: str
    feeling: str
    tone: str
    firm: bool
    family: str
    weight: int


@dataclass(frozen=True, slots=True)
class Feeling:
    """A family of feelings.

    Attributes:
        id: also the name of its pools, "feeling.<id>.mirror", ".comfort", ".offer" and ".ask".
        noun: how it is recalled, e.g. "the loneliness"; empty: not at all.
        emotion: the one of the 49 that it is nearest to.
        mood: "heavy", "light" or "plain"; chooses the general pools.
        words: phrases that show it.
        negated: id of the feeling that its negation suggests; empty: none.
        after_loss: id of the feeling that it is while somebody is mourned; empty: itself.
    """

    id: str
    noun: str
    emotion: str
    mood: str
    words: tuple[str, ...]
    negated: str
    after_loss: str


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that people talk about; its pools are "topic.<id>.say" and ".ask"; `about` recalls it ("your work")."""

    id: str
    about: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """How the session learns something: `kind` is the fact's name, kept from slot "x" of the patterns."""

    kind: str
    patterns: tuple[Pattern, ...]
    form: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence with lists for its slots: every combination is a sentence of its own."""

    text: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Script:
    """All of it."""

    fillers: tuple[str, ...]
    greetings: tuple[str, ...]
    emoji: Mapping[str, str]
    proper: frozenset[str]
    sets: Mapping[str, frozenset[str]]
    rules: tuple[Rule, ...]
    feelings: Mapping[str, Feeling]
    topics: tuple[Topic, ...]
    facts: tuple[Fact, ...]
    pools: Mapping[str, Pool]
    tones: Mapping[str, TonePolicy]
    frames: Mapping[str, tuple[Frame, ...]]
