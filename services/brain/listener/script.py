"""The listener's script: rules, feelings, topics and pools of sentences, which `loader.py` loads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oviya.emotions.tables import TonePolicy
from services.brain.listener.pattern import Pattern

SLOT = re.compile(r"\{([a-z]+)\}")

SESSION_SLOTS = frozenset(
    {"name", "recall", "summary", "state", "noun", "last", "about", "echo", "lost", "danger", "told", "unheard"}
)
"""Slots that any template may use.  The session fills them, not the pattern."""


@dataclass(frozen=True, slots=True)
class Template:
    """One sentence, or two that belong together, with slots such as {x}."""

    sentences: tuple[str, ...]
    slots: frozenset[str]

    def fill(self, values: Mapping[str, str]) -> tuple[str, ...] | None:
        """The sentences with their slots filled; None: a value is missing."""
        if not all(values.get(slot) for slot in self.slots):
            return None
        return tuple(SLOT.sub(lambda slot: values[slot[1]], sentence) for sentence in self.sentences)


WEIGHTS = ("courtesy", "statement", "question", "feeling", "loss", "crisis")
"""What a rule answers, in ascending order of weight; the heaviest part of an utterance is answered."""

Pool = tuple[Template, ...]
Shape = tuple[tuple[str, ...], ...]
"""The sentences of a reply in order; each is a list of pools, of which the first with an unused sentence is used."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How to answer an utterance.

    Attributes:
        id: its name; its own sentences are the pool "say".
        priority: the matching rule with the highest priority applies.
        patterns: one of them must match a segment.
        after: one of them must match the listener's last sentence; empty: any sentence.
        contains: slot -> word set; the slot must contain one of its phrases.
        lacks: slot -> word set; the slot must contain none of its phrases.
        same: slot -> session slot; both must have the same value.
        needs: session slots that must have a value.
        shapes: the shapes of its replies, used in turn.
        state: part of a sentence for the slot {state}, e.g. "you feel {x}".
        feeling: id of the feeling that it shows; empty: none.
        tone: emotion of its first sentence while the user's feeling is unknown; empty: the neutral tone.
        firm: its tone applies whatever the user feels.
        family: frames for composed sentences; empty: those of the user's mood.
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
        noun: noun for recalling it, e.g. "the loneliness"; empty: it is not recalled.
        emotion: the nearest of the 49 emotions.
        mood: "heavy", "light" or "plain"; chooses the general pools.
        words: phrases that show it.
        negated: id of the feeling that its negation suggests; empty: none.
        after_loss: id of the feeling that replaces it after a death; empty: none.
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
    """A topic.  Its pools are "topic.<id>.say" and ".ask"; `about` is the noun for recalling it ("your work")."""

    id: str
    about: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """How a fact is learned: the patterns capture it in slot "x", `form` is a part of a sentence about it."""

    kind: str
    patterns: tuple[Pattern, ...]
    form: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence with lists of options for its slots."""

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
