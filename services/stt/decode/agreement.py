"""Which words of a growing transcript can be published: those on which successive decodes agree.  What has been
published stands, in later partials and in the final transcript.

LocalAgreement-2 (Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
Partial Hypothesis Selection", Interspeech 2020): of two decodes of the same utterance, the later one having heard more,
the common prefix is what more sound is unlikely to change.  A word that the decoder itself doubts must have stood for
longer.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from services.stt import metrics
from services.stt.recognizer import Guess, Word

SURE_CONFIDENCE = 0.5
"""From here on, more likely than not, two decodes suffice.  Set, with SETTLED_S, on PocketSphinx and eight sentences in
three of flite's voices, clean and in noise: finals that keep what was published have no more errors than those that do
not."""
SETTLED_S = 0.8
"""Sound through which a word in doubt must have been heard unchanged: two or three words."""


@dataclass(frozen=True)
class _Pending:
    """A word that is not published yet, and the position from which on every decode has had it."""

    text: str
    since_s: float


class LocalAgreement:
    """Follows the decodes of one phrase.  What it has published it never takes back."""

    def __init__(self) -> None:
        self._published: list[str] = []
        self._pending: list[_Pending] = []

    @property
    def published(self) -> list[str]:
        """The words that stand."""
        return list(self._published)

    def take(self, guesses: Sequence[Guess], heard_s: float) -> list[str]:
        """Takes the next decode and returns the words that stand.

        Args:
            guesses: all of its words, from the start of the phrase.
            heard_s: position in seconds up to which it has heard, beyond that of the one before.
        """
        rest = guesses[len(guesses) - len(continuation([guess.text for guess in guesses], self._published)) :]
        pending = [_Pending(guess.text, heard_s) for guess in rest]
        for index, (ours, theirs) in enumerate(zip(pending, self._pending, strict=False)):
            if ours.text != theirs.text:
                break
            pending[index] = theirs
        standing = 0
        for word, guess in zip(pending, rest, strict=True):
            stood_s = heard_s - word.since_s
            if stood_s <= 0 or (guess.confidence < SURE_CONFIDENCE and stood_s < SETTLED_S):
                break
            standing += 1
        self._published += [word.text for word in pending[:standing]]
        self._pending = pending[standing:]
        return self.published


def keep(published: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """Returns the last decode's `words` of a phrase, with the `published` ones in the place of what differs from them.

    A published word that the last decode does not have gets the time of what it has instead, and no confidence.
    """
    texts = [word.text for word in words]
    begun = len(words) - len(continuation(texts, published))
    kept: list[Word] = []
    matcher = difflib.SequenceMatcher(None, texts[:begun], list(published), autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            kept += words[start:end]
        elif first < last:
            begin_s = words[start].start_s if start < end else kept[-1].end_s if kept else 0.0
            end_s = words[end - 1].end_s if start < end else words[end].start_s if end < len(words) else begin_s
            kept += spread(published[first:last], begin_s, end_s, 0.0)
            metrics.OVERRULED_WORDS.inc(last - first)
    return [*kept, *words[begun:]]


def spread(words: Sequence[str], start_s: float, end_s: float, confidence: float) -> list[Word]:
    """Spreads words evenly over a stretch of sound, by their letters."""
    letter_s = (end_s - start_s) / sum(len(word) + 1 for word in words)
    spread: list[Word] = []
    for word in words:
        next_s = start_s + letter_s * (len(word) + 1)
        spread.append(Word(word, start_s, next_s, confidence))
        start_s = next_s
    return spread


def continuation(words: Sequence[str], published: Sequence[str]) -> list[str]:
    """Returns the words that follow what has been published, though a decode may have changed its mind about that.

    The published words stand for that beginning of `words` which is nearest to them in letters (Levenshtein distance),
    so that "i can not" is followed by "sleep" in "i cannot sleep".
    """
    if list(words[: len(published)]) == list(published):
        return list(words[len(published) :])
    target = " ".join(published)
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
