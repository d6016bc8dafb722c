"""Which feelings the lexicon's words and signs show.

It adds up the words that it knows; it has learned nothing and sees no irony.  Its rules follow what
Hutto and Gilbert measured for VADER (2014): intensifiers, capitals and exclamation marks scale a word, a negator
within the three words before turns it round, and what follows "but" counts more than what comes before.
"""

from __future__ import annotations

from collections.abc import Sequence

from oviya.emotions.tables import NEUTRAL
from services.emotion.affect import Shares
from services.emotion.words.lexicon import Entry, Lexicon
from services.emotion.words.tokens import Token, tokenize

NEUTRAL_WORTH = 0.5
"""Evidence for neutral that every text starts with: one weak word against it leaves even odds."""

LOOK_BACK = 3
"""Words before a match in which negators and intensifiers count, as in VADER."""

NEGATED_WORTH = 0.7
"""A negated word says less than its opposite does: "not happy" is milder than "sad"."""

SELF_REPORT = 1.5
"""Factor for a feeling that the speaker names as their own ("i feel ...", "i am so ...")."""
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
        """Shares of the evidence, 0 to 1, of the feelings that were found; what is left to 1 speaks for none."""
        tokens = tokenize(text, self._lexicon.vocabulary)
        evidence: dict[str, float] = {}
        start = 0
        for end in [*(i for i, token in enumerate(tokens) if token.is_mark or token.text in _BUT), len(tokens)]:
            for emotion, worth in self._clause(tokens[start:end]):
                evidence[emotion] = evidence.get(emotion, 0.0) + worth
            if end < len(tokens) and tokens[end].text in _BUT:
                evidence = {emotion: worth * BEFORE_BUT for emotion, worth in evidence.items()}
            start = end  # a "but" opens the next clause, which weighs it
        exclamations = min(sum(token.text == "!" for token in tokens), MAX_EXCLAMATIONS)
        return self._weigh(evidence, exclamations)

    def _clause(self, tokens: Sequence[Token]) -> list[tuple[str, float]]:
        """The evidence of one clause: (emotion, worth) of each known phrase in it."""
        found: list[tuple[str, float]] = []
        after_but = AFTER_BUT if tokens and tokens[0].text in _BUT else 1.0
        free_from = 0  # words before this belong to an earlier match and modify nothing
        at = 0
        while at < len(tokens):
            entry = self._lexicon.longest(tokens, at)
            if entry is None:
                at += 1
                continue
            end = at + len(entry.tokens)
            worth = entry.worth * after_but * max(token.stress for token in tokens[at:end])
            before = [token.text for token in tokens[max(free_from, at - LOOK_BACK) : at]]
            found.append(self._modified(entry, worth, before))
            at = free_from = end
        return found

    def _modified(self, entry: Entry, worth: float, before: Sequence[str]) -> tuple[str, float]:
        """The emotion and worth of `entry` after the words `before` it have turned or scaled it."""
        emotion = entry.emotion
        for word in before:
            worth *= self._lexicon.factors.get(word, 1.0)
        if _SELF_REPORT_WORDS.intersection(before):
            worth *= SELF_REPORT
        negators = [i for i, word in enumerate(before) if word in self._lexicon.negators]
        if not negators:
            return emotion, worth
        following = before[negators[-1] + 1 :]
        if before[negators[-1]] == "never" and _NEVER_SO.intersection((*following, *entry.tokens)):
            return emotion, worth * NEVER_SO  # "never been so happy"
        if following[:1] in (["only"], ["just"]) or len(negators) > 1:
            return emotion, worth  # "not only happy"; "never not happy"
        return self._lexicon.negated[emotion] or NEUTRAL, worth * NEGATED_WORTH

    def _weigh(self, evidence: Shares, exclamations: int) -> Shares:
        loudness = 1.0 + EXCLAMATION * exclamations
        worths = {emotion: worth * loudness for emotion, worth in evidence.items() if emotion != NEUTRAL}
        total = sum(worths.values()) + evidence.get(NEUTRAL, 0.0) + NEUTRAL_WORTH
        return {emotion: worth / total for emotion, worth in worths.items()}
