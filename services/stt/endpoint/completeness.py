"""Scores whether a turn is complete when its speaker pauses.

The score joins what the words say (`sentence_end`, English only), how the last one is lengthened, how far the pitch
falls (`pitch`), how the sound ends (`smart_turn`) and how certain the recognizer is of its last full stop, which it
writes by the words and the sound.  Each has its own blind spots: "we ran out of milk" may end or go on, which only its
sound tells; synthetic voices sound alike in both cases.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.stt.endpoint.dictation import Dictation, dictation
from services.stt.endpoint.sentence_end import sentence_end
from services.stt.recognizer import Word

UNFINISHED_SCORE, FINISHED_SCORE = -0.2, -0.1
"""Up to the first score nothing is complete; from the second on a turn is.  Of the pauses within the sentences of
training/turn_end.py, 8 % score above it.  A wider range costs more delay for as many cut-offs."""
CERTAINLY_UNFINISHED = -10.0
LENGTHENING_LIMIT, DEFAULT_LENGTHENING, MIN_PACED_WORDS = 1.0, 0.3, 3
"""Limit of the logarithm of the last word's duration relative to the other words', the words from which on it is known,
and the value that is assumed before: that of an end.  Speakers lengthen what precedes a boundary (Wightman et al.,
"Segmental durations in the vicinity of prosodic phrase boundaries", JASA 1992)."""
FALL_LIMIT, DEFAULT_FALL = 4.0, 1.5
"""Limit of the semitones by which the pitch ends below the turn's median, and the value that is assumed for questions,
which may end high, and where too little is voiced."""
LOG_ODDS_LIMIT = 4.0
"""Limit of all log-odds."""
NO_STOP, DEFAULT_STOP = -3.0, 2.0
"""Log-odds of a full stop where the recognizer writes none, and where it writes one with unknown probability."""
MIN_QUESTION_WORDS = 4
CLOSING = (
    *".?!",
    "\N{IDEOGRAPHIC FULL STOP}",
    "\N{FULLWIDTH QUESTION MARK}",
    "\N{FULLWIDTH EXCLAMATION MARK}",
    "\N{DEVANAGARI DANDA}",
    "\N{ARABIC QUESTION MARK}",
)
CONTINUING = (*",;:-", "\N{EN DASH}", "\N{EM DASH}", "\N{HORIZONTAL ELLIPSIS}", "...", "\N{IDEOGRAPHIC COMMA}")
"""Punctuation with which a sentence ends, and with which it goes on.  Whisper ends most unfinished sentences with a
full stop as well, but is less certain of it."""
QUOTES = " \"')\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"

_WORDS = tomllib.loads((Path(__file__).parent / "data" / "sentence_words.toml").read_text(encoding="utf-8"))
FILLERS, QUESTION_OPENERS = (frozenset(_WORDS[name]) for name in ("fillers", "question_openers"))


@dataclass(frozen=True)
class Evidence:
    """What is known when a speaker pauses.

    Attributes:
        text: log-odds that a sentence ends after the words; None: not English.
        lengthening: logarithm of the last word's duration per letter relative to the other words'.
        fall: semitones by which the pitch ends below the turn's median.
        sound: Smart Turn's log-odds that the turn is over; None: unknown.
        stop: log-odds of the full stop, question mark or exclamation mark at the end.
    """

    text: float | None
    lengthening: float
    fall: float
    sound: float | None
    stop: float


@dataclass(frozen=True)
class Weights:
    """A logistic regression over `Evidence`."""

    bias: float
    text: float
    lengthening: float
    fall: float
    sound: float
    stop: float

    def score(self, evidence: Evidence) -> float:
        """Returns the log-odds that the turn is complete."""
        return (
            self.bias
            + self.text * (evidence.text or 0.0)
            + self.lengthening * evidence.lengthening
            + self.fall * evidence.fall
            + self.sound * (evidence.sound or 0.0)
            + self.stop * evidence.stop
        )


WEIGHTS = {
    (True, True): Weights(-2.64, 0.85, 2.61, 0.15, 0.04, 0.95),
    (True, False): Weights(-2.67, 0.86, 2.61, 0.16, 0.00, 0.97),
    (False, True): Weights(-3.41, 0.00, 2.48, 0.10, 0.05, 1.09),
    (False, False): Weights(-3.43, 0.00, 2.48, 0.11, 0.00, 1.12),
}
"""By whether the words and the sound are known; fitted by training/turn_end.py."""


def completeness(
    words: Sequence[Word], fall: float | None = None, turn_end: float | None = None, language: str = "en"
) -> float:
    """Returns the score that the turn is complete after `words`; halfway to complete if nothing is known.

    Args:
        words: words of the turn so far; if there are none, the sound counts.
        fall: semitones by which the pitch ends below the turn's median; None: unknown.
        turn_end: Smart Turn's probability that the turn is over; None: unknown.
        language: Whisper's code of the language.
    """
    if not words and turn_end is None:
        return (UNFINISHED_SCORE + FINISHED_SCORE) / 2
    if words and goes_on(words, language):
        return CERTAINLY_UNFINISHED
    found = evidence(words, fall, turn_end, language)
    return WEIGHTS[found.text is not None, found.sound is not None].score(found)


def goes_on(words: Sequence[Word], language: str = "en") -> bool:
    """Whether the turn must not be taken for complete: the words end with a comma, a filler, or a number or a spelling
    that is read out, even one of full length."""
    if words[-1].written.rstrip(QUOTES).endswith(CONTINUING):
        return True
    if language != "en":
        return False
    return words[-1].text in FILLERS or dictation([word.written or word.text for word in words]) is not Dictation.NONE


def evidence(words: Sequence[Word], fall: float | None, turn_end: float | None, language: str) -> Evidence:
    """Returns the evidence; arguments are those of `completeness`."""
    texts = [word.text for word in words if word.text]
    english = language == "en" and bool(texts)
    is_question = english and texts[0] in QUESTION_OPENERS and len(texts) >= MIN_QUESTION_WORDS
    return Evidence(
        text=_limit(sentence_end().score(texts), LOG_ODDS_LIMIT) if english else None,
        lengthening=_lengthening(words),
        fall=DEFAULT_FALL if fall is None or is_question else _limit(fall, FALL_LIMIT),
        sound=None if turn_end is None else _log_odds(turn_end),
        stop=_stop(words[-1]) if words else DEFAULT_STOP,
    )


def _lengthening(words: Sequence[Word]) -> float:
    if len(words) < MIN_PACED_WORDS:
        return DEFAULT_LENGTHENING
    paces_s = [(word.end_s - word.start_s) / (len(word.text) + 1) for word in words]
    others_s = sum(paces_s[:-1]) / (len(paces_s) - 1)
    if paces_s[-1] <= 0 or others_s <= 0:
        return 0.0
    return _limit(math.log(paces_s[-1] / others_s), LENGTHENING_LIMIT)


def _stop(last: Word) -> float:
    if not last.written.rstrip(QUOTES).endswith(CLOSING):
        return NO_STOP
    return DEFAULT_STOP if last.stop is None else _log_odds(last.stop)


def _log_odds(probability: float) -> float:
    least = 1 / (1 + math.exp(LOG_ODDS_LIMIT))
    bounded = min(max(probability, least), 1 - least)
    return math.log(bounded / (1 - bounded))


def _limit(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
