"""How long to wait in silence before a turn is over: it depends on the words so far and on who speaks.

One fixed silence is wrong twice: it makes everybody wait who has said all, and cuts off everybody who stops to think.
"And then I went to the" is not over, however long the pause; "what time is it" is, at once.  The words tell it, and the
last one's length: it is stretched where a sentence ends.  Where the words so far could be a sentence, the melody
tells whether they are one: it falls at the end, and stays up before a comma.
"""

from __future__ import annotations

import math
import tomllib
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
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
"""Scores (log-odds of the text, and what the sound adds) up to which nothing has been completed, and from which on a
sentence has; the silence falls evenly in between.  These and the weights below were set on the sets `fitted` and
`development` of benchmarks/stt_turns.py, flite's slt and rms, decoded by PocketSphinx."""
CERTAINLY_UNFINISHED = -10.0
QUESTION_BONUS = 0.5
"""Added to the score of what is more likely than not a whole question: its speaker waits for the answer."""
MIN_QUESTION_WORDS = 4
LIST_SIGNS = (",", ";", ":", "-", "\N{EM DASH}", "\N{HORIZONTAL ELLIPSIS}", "...")
"""Signs, where the recognizer writes them, after which a sentence goes on."""
LENGTHENING_WEIGHT, MAX_LENGTHENING = 5.0, 1.0
"""Weight of the logarithm of how much longer than the others the last word is, and the most of it that counts: speakers
stretch what precedes a boundary (Wightman et al., "Segmental durations in the vicinity of prosodic phrase boundaries",
JASA 1992); within a clause the words go on at the same pace."""
MIN_PACED_WORDS, UNKNOWN_LENGTHENING = 3, 0.5
"""Words from which on there is a pace, and what is taken for the last one's length before: that of an end."""
FALL_WEIGHT, MAX_FALL, UNKNOWN_FALL = 0.6, 4.0, 1.5
"""Weight of each semitone by which the pitch ends below the turn's median, the most of them that count, and what is
taken for a fall where too little is voiced: that of an end.  Questions may end high, so theirs does not count."""
LIKELY_SCORE = 1.0
"""From here on an answer may be prepared: 94 % of the ends in those sentences, 15 % of the pauses in the middle of one
and 40 % of those between two clauses, where what was prepared is thrown away."""

PAUSES_KEPT = 20
PAUSES_TRUSTED = 4
"""Pauses that weigh as much as what is true of everybody."""
PAUSE_QUANTILE = 0.9
PAUSE_MARGIN_S = 0.15
MIN_STRETCH = 0.75
"""A quick speaker is answered sooner by a quarter at most."""
RESTART_S = 1.0
"""Who speaks again so soon after the end of a turn had not finished."""

_WORDS = tomllib.loads((Path(__file__).parent / "data" / "endpointing.toml").read_text(encoding="utf-8"))
FILLERS, CONJUNCTIONS = frozenset(_WORDS["fillers"]), frozenset(_WORDS["conjunctions"])
QUESTION_OPENERS = frozenset(_WORDS["question_openers"])


@dataclass(frozen=True)
class EndSilence:
    """Silence in seconds that ends a turn: `min_s` after a whole sentence, `max_s` in the middle of one, and never more
    than `cap_s`, however long the speaker's own pauses are; except in the middle of a number or a spelling that is read
    out, where it is at least `dictation_s` (0: as elsewhere)."""

    min_s: float
    max_s: float
    cap_s: float
    dictation_s: float = 0.0

    @property
    def longest_s(self) -> float:
        """The longest silence within a turn."""
        return max(self.cap_s, self.dictation_s)


class SentenceEnd:
    """Scores whether a sentence ends after the words so far: a logistic regression over hashed word n-grams.

    Raises:
        CheckpointError: the file is missing or no such model.
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
    """Returns the place of a feature's weight."""
    return zlib.crc32(feature.encode()) % buckets


def features(words: Sequence[str]) -> list[str]:
    """Returns what the model knows of `words`: its last words, its first ones, its length, its last clause."""
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
    """The model, loaded once."""
    return SentenceEnd()


class Endpointing:
    """Follows one speaker through a session.

    Args:
        silence: the range within which the silence moves.
    """

    def __init__(self, silence: EndSilence) -> None:
        self._silence = silence
        self._pauses_s: deque[float] = deque(maxlen=PAUSES_KEPT)

    def went_on_after(self, pause_s: float) -> None:
        """Learns that the speaker went on after a pause, within a turn or so soon after it that it was no end."""
        self._pauses_s.append(min(pause_s, self._silence.cap_s))

    def silence_s(self, words: Sequence[Word], fall: float | None = None) -> float:
        """Returns the silence in seconds that ends the turn after `words`; `fall` is that of `completeness`."""
        silence = self._silence
        part = (completeness(words, fall) - UNFINISHED_SCORE) / (FINISHED_SCORE - UNFINISHED_SCORE)
        base_s = silence.max_s - (silence.max_s - silence.min_s) * min(max(part, 0.0), 1.0)
        normal_s = min(max(base_s * self._stretch(), silence.min_s), silence.cap_s)
        if dictation([word.text for word in words]) is Dictation.OPEN:
            return max(normal_s, silence.dictation_s)
        return normal_s

    def _stretch(self) -> float:
        """How much longer than everybody's this speaker's pauses are; 1.0 while little is known."""
        if not self._pauses_s:
            return 1.0
        own_s = float(np.quantile(self._pauses_s, PAUSE_QUANTILE)) + PAUSE_MARGIN_S
        trust = len(self._pauses_s) / (len(self._pauses_s) + PAUSES_TRUSTED)
        return 1.0 + trust * (max(own_s / self._silence.max_s, MIN_STRETCH) - 1.0)


def completeness(words: Sequence[Word], fall: float | None = None) -> float:
    """Returns how complete `words` are; speech without a word is nothing to wait for, nor to hurry.

    Args:
        words: of the turn so far.
        fall: semitones by which its pitch ends below its median; None: unknown.
    """
    texts = [text for word in words if (text := word.text.lower().strip(".,!?\"'"))]
    if not texts:
        return (UNFINISHED_SCORE + FINISHED_SCORE) / 2
    if texts[-1] in FILLERS or words[-1].text.rstrip().endswith(LIST_SIGNS) or dictation(texts) is not Dictation.NONE:
        return CERTAINLY_UNFINISHED
    score = sentence_end().score(texts) + LENGTHENING_WEIGHT * _lengthening(words)
    if texts[0] in QUESTION_OPENERS and len(texts) >= MIN_QUESTION_WORDS:
        return score + QUESTION_BONUS if score > 0 else score
    return score + FALL_WEIGHT * min(max(UNKNOWN_FALL if fall is None else fall, -MAX_FALL), MAX_FALL)


def _lengthening(words: Sequence[Word]) -> float:
    """Returns the logarithm of the last word's duration a letter relative to the other words'."""
    if len(words) < MIN_PACED_WORDS:
        return UNKNOWN_LENGTHENING
    paces_s = [(word.end_s - word.start_s) / (len(word.text) + 1) for word in words]
    others_s = sum(paces_s[:-1]) / (len(paces_s) - 1)
    if paces_s[-1] <= 0 or others_s <= 0:
        return 0.0
    return min(max(math.log(paces_s[-1] / others_s), -MAX_LENGTHENING), MAX_LENGTHENING)
