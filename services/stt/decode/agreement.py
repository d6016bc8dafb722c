"""Decides which words of a growing transcript are final while the speaker is still talking.

This is LocalAgreement-2 (Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and
Translation by Partial Hypothesis Selection", Interspeech 2020): the common prefix of two successive hypotheses is
committed, because more sound is unlikely to change it.  A word with a low confidence must stay unchanged for longer.
Committed words stay in all later partials and in the final transcript.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from services.stt import metrics
from services.stt.recognizer import HypothesisWord, Word

MIN_CONFIDENCE = 0.5
"""A word with at least this confidence is committed after two hypotheses.  Set, with STABLE_S, on PocketSphinx and
eight sentences in three of flite's voices, clean and in noise: finals that keep the committed words have no more errors
than finals that do not."""
STABLE_S = 0.8
"""Sound in seconds through which a word of low confidence must stay unchanged: two or three words."""


@dataclass(frozen=True)
class _Pending:
    """A word that is not committed yet; every hypothesis since position `since_s` has it."""

    text: str
    since_s: float


class LocalAgreement:
    """Follows the hypotheses of one phrase and commits words."""

    def __init__(self) -> None:
        self._committed: list[str] = []
        self._pending: list[_Pending] = []

    @property
    def committed(self) -> list[str]:
        """The committed words, in order."""
        return list(self._committed)

    def update(self, hypothesis: Sequence[HypothesisWord], position_s: float) -> list[str]:
        """Adds the next hypothesis and returns the committed words.

        Args:
            hypothesis: all words from the start of the phrase.
            position_s: position in seconds up to which the sound was decoded; later than in the call before.
        """
        rest = hypothesis[len(hypothesis) - len(continuation([word.text for word in hypothesis], self._committed)) :]
        pending = [_Pending(word.text, position_s) for word in rest]
        for index, (new, old) in enumerate(zip(pending, self._pending, strict=False)):
            if new.text != old.text:
                break
            pending[index] = old
        agreed = 0
        for waiting, word in zip(pending, rest, strict=True):
            stable_s = position_s - waiting.since_s
            if stable_s <= 0 or (word.confidence < MIN_CONFIDENCE and stable_s < STABLE_S):
                break
            agreed += 1
        self._committed += [waiting.text for waiting in pending[:agreed]]
        self._pending = pending[agreed:]
        return self.committed


def merge_final(committed: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """Returns the final words of a phrase: `words` of the last decode, with `committed` in place of what differs.

    A committed word that the last decode lacks gets the time of the words that it replaces, and confidence 0.
    """
    texts = [word.text for word in words]
    prefix = len(words) - len(continuation(texts, committed))
    merged: list[Word] = []
    matcher = difflib.SequenceMatcher(None, texts[:prefix], list(committed), autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            merged += words[start:end]
        elif first < last:
            begin_s = words[start].start_s if start < end else merged[-1].end_s if merged else 0.0
            end_s = words[end - 1].end_s if start < end else words[end].start_s if end < len(words) else begin_s
            merged += spread(committed[first:last], begin_s, end_s, 0.0)
            metrics.OVERRULED_WORDS.inc(last - first)
    return [*merged, *words[prefix:]]


def spread(words: Sequence[str], start_s: float, end_s: float, confidence: float) -> list[Word]:
    """Estimates times for `words`: divides the interval among them in proportion to their letters."""
    letter_s = (end_s - start_s) / sum(len(word) + 1 for word in words)
    spread: list[Word] = []
    for word in words:
        next_s = start_s + letter_s * (len(word) + 1)
        spread.append(Word(word, start_s, next_s, confidence))
        start_s = next_s
    return spread


def continuation(words: Sequence[str], committed: Sequence[str]) -> list[str]:
    """Returns the words of a hypothesis that follow the committed ones, even if it has other words in their place.

    The committed words are aligned with the prefix of `words` that has the smallest Levenshtein distance to them,
    counted in letters: after "i can not", the continuation of "i cannot sleep" is "sleep".
    """
    if list(words[: len(committed)]) == list(committed):
        return list(words[len(committed) :])
    target = " ".join(committed)
    best_count, best_distance = 0, len(target) + 1
    row = list(range(len(target) + 1))
    for count, word in enumerate(words, 1):
        for letter in (" " * (count > 1)) + word:
            diagonal, row[0] = row[0], row[0] + 1
            for index, other in enumerate(target, 1):
                diagonal, row[index] = (
                    row[index],
                    min(row[index] + 1, row[index - 1] + 1, diagonal + (letter != other)),
                )
        if row[-1] <= best_distance:
            best_count, best_distance = count, row[-1]
    return list(words[best_count:])
