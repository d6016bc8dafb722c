"""Judges feelings by the lexicon's words and signs.

It adds up the weights of known words; it is not trained and does not recognize irony.  The rules follow VADER (Hutto
and Gilbert 2014): intensifiers, capitals and exclamation marks scale a word, a negator within the three words before it
inverts it, and what follows "but" counts more than what precedes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from oviya.emotions.tables import NEUTRAL
from services.emotion.affect import Shares
from services.emotion.words.lexicon import Entry, Lexicon
from services.emotion.words.tokens import Token, tokenize

NEUTRAL_WEIGHT = 0.5
"""Weight of neutral in every text, that of one weak word."""

LOOK_BACK = 3
"""Words before a match in which negators and intensifiers count, as in VADER."""

NEGATED_FACTOR = 0.7
"""A negated word is weaker than its opposite: "not happy" is milder than "sad"."""

SELF_REPORT = 1.5
"""Factor for a feeling that speakers name as their own ("i feel ...", "i am so ...")."""
_SELF_REPORT_WORDS = frozenset({"feel", "feels", "feeling", "felt", "am"})

BEFORE_BUT, AFTER_BUT = 0.5, 1.5
EXCLAMATION, MAX_EXCLAMATIONS = 0.1, 3
_BUT = frozenset({"but", "however", "yet", "although", "though"})
_NEVER_SO = frozenset({"so", "this", "such", "more", "that"})
NEVER_SO = 1.5


class LexiconDetector:
    """Judges by the lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def judge(self, text: str) -> Shares:
        """Returns the shares of the feelings that were found; they add up to less than 1, the rest is neutral."""
        tokens = tokenize(text, self._lexicon.vocabulary)
        weights: dict[str, float] = {}
        start = 0
        for end in [*(i for i, token in enumerate(tokens) if token.is_mark or token.text in _BUT), len(tokens)]:
            for emotion, weight in self._clause(tokens[start:end]):
                weights[emotion] = weights.get(emotion, 0.0) + weight
            if end < len(tokens) and tokens[end].text in _BUT:
                weights = {emotion: weight * BEFORE_BUT for emotion, weight in weights.items()}
            start = end  # a "but" opens the next clause, which weighs it
        exclamations = min(sum(token.text == "!" for token in tokens), MAX_EXCLAMATIONS)
        return self._weigh(weights, exclamations)

    def _clause(self, tokens: Sequence[Token]) -> list[tuple[str, float]]:
        """Returns (emotion, weight) of each known phrase in a clause."""
        found: list[tuple[str, float]] = []
        after_but = AFTER_BUT if tokens and tokens[0].text in _BUT else 1.0
        free_from = 0  # words before this are part of an earlier match and do not modify
        at = 0
        while at < len(tokens):
            entry = self._lexicon.longest(tokens, at)
            if entry is None:
                at += 1
                continue
            end = at + len(entry.tokens)
            weight = entry.weight * after_but * max(token.stress for token in tokens[at:end])
            before = [token.text for token in tokens[max(free_from, at - LOOK_BACK) : at]]
            found.append(self._modified(entry, weight, before))
            at = free_from = end
        return found

    def _modified(self, entry: Entry, weight: float, before: Sequence[str]) -> tuple[str, float]:
        """Returns the emotion and weight of `entry` as modified by the words `before` it."""
        emotion = entry.emotion
        for word in before:
            weight *= self._lexicon.factors.get(word, 1.0)
        if _SELF_REPORT_WORDS.intersection(before):
            weight *= SELF_REPORT
        negators = [i for i, word in enumerate(before) if word in self._lexicon.negators]
        if not negators:
            return emotion, weight
        following = before[negators[-1] + 1 :]
        if before[negators[-1]] == "never" and _NEVER_SO.intersection((*following, *entry.tokens)):
            return emotion, weight * NEVER_SO  # "never been so happy"
        if following[:1] in (["only"], ["just"]) or len(negators) > 1:
            return emotion, weight  # "not only happy"; "never not happy"
        return self._lexicon.negated[emotion] or NEUTRAL, weight * NEGATED_FACTOR

    def _weigh(self, weights: Shares, exclamations: int) -> Shares:
        loudness = 1.0 + EXCLAMATION * exclamations
        scaled = {emotion: weight * loudness for emotion, weight in weights.items() if emotion != NEUTRAL}
        total = sum(scaled.values()) + weights.get(NEUTRAL, 0.0) + NEUTRAL_WEIGHT
        return {emotion: weight / total for emotion, weight in scaled.items()}
