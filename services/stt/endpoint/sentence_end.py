"""Scores whether a sentence ends after the words so far, from the words, their durations and the pitch.

After "and then I went to the" a sentence goes on; after "what time is it" it is complete.  The last word is lengthened
where a sentence ends.  Where the words could be a sentence, the pitch tells the two cases apart: it falls at the end of
a sentence and stays up before a comma.
"""

from __future__ import annotations

import math
import tomllib
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.errors import CheckpointError
from services.stt.endpoint.dictation import Dictation, dictation
from services.stt.recognizer import Word

MODEL_FILE = Path(__file__).parent / "data" / "endpointing.npz"
"""Weights of the sentence-end model, made by training/endpointing.py."""

UNFINISHED_SCORE, FINISHED_SCORE = 2.6, 3.4
"""Up to the first score nothing is complete; from the second on a sentence is.  A score is the log-odds of the text
plus what duration and pitch add.  These values and the weights below were set on the sets `fitted` and `development` of
benchmarks/stt_turns.py, flite's slt and rms, decoded by PocketSphinx."""
CERTAINLY_UNFINISHED = -10.0
QUESTION_BONUS = 0.5
"""Added to the score of a question that is more likely complete than not: its speaker waits for the answer."""
MIN_QUESTION_WORDS = 4
CONTINUING_PUNCTUATION = (",", ";", ":", "-", "\N{EM DASH}", "\N{HORIZONTAL ELLIPSIS}", "...")
"""Punctuation, where the recognizer writes it, after which a sentence goes on."""
LENGTHENING_WEIGHT, MAX_LENGTHENING = 5.0, 1.0
"""Weight and limit of the logarithm of the last word's duration relative to the other words'.  Speakers lengthen what
precedes a boundary (Wightman et al., "Segmental durations in the vicinity of prosodic phrase boundaries", JASA
1992)."""
MIN_PACED_WORDS, DEFAULT_LENGTHENING = 3, 0.5
"""Words from which on the pace is known, and the lengthening that is assumed before: that of an end."""
FALL_WEIGHT, MAX_FALL, DEFAULT_FALL = 0.6, 4.0, 1.5
"""Weight and limit of the semitones by which the pitch ends below the turn's median, and the value that is assumed
where too little is voiced: that of an end.  The pitch of questions is ignored because they may end high."""

_WORDS = tomllib.loads((Path(__file__).parent / "data" / "endpointing.toml").read_text(encoding="utf-8"))
FILLERS, CONJUNCTIONS = frozenset(_WORDS["fillers"]), frozenset(_WORDS["conjunctions"])
QUESTION_OPENERS = frozenset(_WORDS["question_openers"])


class SentenceEnd:
    """A logistic regression over hashed word n-grams.

    Raises:
        CheckpointError: the file is missing or not a model of this kind.
    """

    def __init__(self, path: Path = MODEL_FILE) -> None:
        try:
            with np.load(path) as model:
                self._weights: NDArray[np.int8] = model["weights"]
                self._scale, self._bias = float(model["scale"]), float(model["bias"])
        except (OSError, KeyError, ValueError) as error:
            raise CheckpointError(f"cannot load the sentence-end model from {path}: {error}") from error

    def score(self, words: Sequence[str]) -> float:
        """Returns the log-odds that a sentence ends after `words` (lower case, not empty)."""
        buckets = [bucket(feature, len(self._weights)) for feature in features(words)]
        return self._bias + self._scale * int(self._weights[buckets].sum(dtype=np.int32))


def bucket(feature: str, buckets: int) -> int:
    """Returns the index of a feature's weight."""
    return zlib.crc32(feature.encode()) % buckets


def features(words: Sequence[str]) -> list[str]:
    """Returns the features of `words`: the last words, the first ones, the count and the last clause."""
    count, first = len(words), words[0]
    before3, before2, before, last = (["<s>"] * 3 + list(words))[-4:]
    clause = next((back for back in range(1, count) if words[count - 1 - back] in CONJUNCTIONS), None)
    opener = words[count - 1 - clause] if clause else "-"
    return [
        f"1 {last}",
        f"2 {before} {last}",
        f"3 {before2} {before} {last}",
        f"skip {before2} {last}",
        f"before {before}",
        f"before2 {before2} {before3}",
        f"length {min(count, 12)}",
        f"length last {min(count // 3, 3)} {last}",
        f"first last {first} {last}",
        f"first {' '.join(words[:2])}",
        f"clause {opener} {min(clause or 9, 5)}",
    ]


@cache
def sentence_end() -> SentenceEnd:
    """Returns the model; loads it once."""
    return SentenceEnd()


def completeness(words: Sequence[Word], fall: float | None = None) -> float:
    """Returns the score that a sentence ends after `words`.

    Speech without a word gets a score halfway between unfinished and finished.

    Args:
        words: words of the turn so far.
        fall: semitones by which the pitch ends below the turn's median; None: unknown.
    """
    texts = [text for word in words if (text := word.text.lower().strip(".,!?\"'"))]
    if not texts:
        return (UNFINISHED_SCORE + FINISHED_SCORE) / 2
    goes_on = texts[-1] in FILLERS or words[-1].text.rstrip().endswith(CONTINUING_PUNCTUATION)
    if goes_on or dictation(texts) is not Dictation.NONE:
        return CERTAINLY_UNFINISHED
    score = sentence_end().score(texts) + LENGTHENING_WEIGHT * _lengthening(words)
    if texts[0] in QUESTION_OPENERS and len(texts) >= MIN_QUESTION_WORDS:
        return score + QUESTION_BONUS if score > 0 else score
    return score + FALL_WEIGHT * min(max(DEFAULT_FALL if fall is None else fall, -MAX_FALL), MAX_FALL)


def _lengthening(words: Sequence[Word]) -> float:
    """Returns the logarithm of the last word's duration per letter relative to the other words'."""
    if len(words) < MIN_PACED_WORDS:
        return DEFAULT_LENGTHENING
    paces_s = [(word.end_s - word.start_s) / (len(word.text) + 1) for word in words]
    others_s = sum(paces_s[:-1]) / (len(paces_s) - 1)
    if paces_s[-1] <= 0 or others_s <= 0:
        return 0.0
    return min(max(math.log(paces_s[-1] / others_s), -MAX_LENGTHENING), MAX_LENGTHENING)
