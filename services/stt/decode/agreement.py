"""Decides which words of a growing transcript are final while the speaker is still talking.

This is LocalAgreement-2 (Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and
Translation by Partial Hypothesis Selection", Interspeech 2020): the common prefix of two successive hypotheses is
committed, because more sound is unlikely to change it.  A word of low confidence must stay unchanged for longer.  Some
endings are never committed: a word that may have been cut off, digits, because "5" may become "555", and what repeats
the words before it, as Whisper does with little sound.  Committed words stay in all later partials and in the final
transcript; how they are written may change, because Whisper learns from what follows where a sentence ends.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.stt import metrics
from services.stt.decode.words import spread
from services.stt.recognizer import Word

MIN_CONFIDENCE, STABLE_S = 0.45, 0.8
"""A word with at least this confidence is committed after two hypotheses, others after so many seconds of sound.  Set,
with OPEN_S, on 80 sentences of a human voice and of flite's: 4.1 % of the words of the final transcripts, which keep
committed words, are wrong, and 3.4 % if nothing is committed; without confidences errors double."""
OPEN_S = 0.2
"""A word that ends so close to the end of the sound is not committed, except the first one: half of
the first partials come 0.58 s after the start of speech instead of 0.72 s, and one word in 800 more is wrong."""


@dataclass(frozen=True)
class _Pending:
    """A word that is not committed yet; every hypothesis since position `since_s` has it."""

    word: Word
    since_s: float


class LocalAgreement:
    """Follows the hypotheses of one segment and commits words."""

    def __init__(self) -> None:
        self._committed: list[Word] = []
        self._pending: list[_Pending] = []

    @property
    def committed(self) -> list[Word]:
        """The committed words, in order."""
        return list(self._committed)

    def update(self, hypothesis: Sequence[Word], position_s: float) -> None:
        """Adds the next hypothesis.

        Args:
            hypothesis: all words from the start of the segment.
            position_s: how much of the segment was decoded, in seconds; more than in the call before.
        """
        known = len(hypothesis) - len(continuation(_texts(hypothesis), _texts(self._committed)))
        self._committed = _overrule(hypothesis[:known], self._committed)
        rest = hypothesis[known:]
        pending = [_Pending(word, position_s) for word in rest]
        for index, (new, old) in enumerate(zip(pending, self._pending, strict=False)):
            if new.word.text != old.word.text:
                break
            pending[index] = _Pending(new.word, old.since_s)
        agreed = 0
        for waiting in pending[: max(0, _certain_length(_texts(hypothesis)) - known)]:
            stable_s = position_s - waiting.since_s
            certain = waiting.word.confidence >= MIN_CONFIDENCE or stable_s >= STABLE_S
            is_open = waiting.word.end_s > position_s - OPEN_S and known + agreed > 0
            if stable_s <= 0 or not certain or is_open:
                break
            agreed += 1
        self._committed += [waiting.word for waiting in pending[:agreed]]
        self._pending = pending[agreed:]


def _certain_length(words: Sequence[str]) -> int:
    """Returns the number of words before digits, or a repetition of several words, at the end."""
    length = len(words)
    while length and any(map(str.isdigit, words[length - 1])):
        length -= 1
    for size in range(2, length // 2 + 1):
        while words[length - 2 * size : length - size] == words[length - size : length]:
            length -= size
    return length


def merge_final(committed: Sequence[Word], words: Sequence[Word]) -> list[Word]:
    """Returns the final words of a segment: `words` of the last decode, with `committed` in place of what differs.

    A committed word that the last decode lacks gets the time of the words that it replaces, if there are any, and
    confidence 0.
    """
    known = len(words) - len(continuation(_texts(words), _texts(committed)))
    next_s = words[known].start_s if known < len(words) else math.inf
    merged = _overrule(words[:known], committed, next_s)
    metrics.OVERRULED_WORDS.inc(sum(word not in words for word in merged))
    return [*merged, *words[known:]]


def _overrule(words: Sequence[Word], committed: Sequence[Word], next_s: float = math.inf) -> list[Word]:
    """Returns the committed words, from `words` where these have them; what follows them starts at `next_s`."""
    merged: list[Word] = []
    matcher = difflib.SequenceMatcher(None, _texts(words), _texts(committed), autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            merged += words[start:end]
        elif first < last and start < end:
            written = [word.written for word in committed[first:last]]
            merged += spread(written, words[start].start_s, words[end - 1].end_s, 0.0)
        else:
            least_s = merged[-1].end_s if merged else 0.0
            most_s = max(least_s, words[end].start_s if end < len(words) else next_s)
            for word in committed[first:last]:
                start_s, end_s = (min(max(it, least_s), most_s) for it in (word.start_s, word.end_s))
                merged.append(replace(word, start_s=start_s, end_s=end_s, confidence=0.0))
    return merged


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


def _texts(words: Sequence[Word]) -> list[str]:
    return [word.text for word in words]
