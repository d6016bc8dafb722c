"""What words that are said over a reply mean: a back-channel, a stop phrase, the reply's own echo, or a turn."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from functools import cache
from itertools import groupby
from pathlib import Path

from oviya.v1 import stt_pb2

_TABLE = Path(__file__).parent / "data" / "overlap.toml"
_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")

MAX_TOKENS = 80
"""Words that are compared with the reply's; an echo that is longer shows in its beginning."""
ECHO_SHARE = 0.75
"""Share of the letters that stand in the reply in the same order from which on words are its echo: speech-to-text
hears an echo with some errors."""
MIN_ECHO_RUN = 4
"""Letters in a row that count as found again; shorter runs are in any two texts."""
MAX_PHRASE = 8
"""Longest phrase of the table and of a session, in words."""
MIN_ECHO_LETTERS = 8
"""Shorter texts are an echo only where the reply holds them word for word."""


MIN_CONFIDENCE = 0.3
"""Mean confidence below which the words are invented: speech-to-text hears words in coughs and in the rest of an echo,
with 0.05 to 0.28, where real words over a reply have 0.37 and more."""


@dataclass(frozen=True)
class Words:
    """What the user said.

    Args:
        text: the words.
        confidence: their mean confidence, 0 to 1; None: unknown.
    """

    text: str
    confidence: float | None = None

    @classmethod
    def of(cls, transcript: stt_pb2.Transcript) -> Words:
        """Returns the words of a transcript, with their confidence if it has words."""
        known = [word.confidence for word in transcript.words]
        return cls(transcript.text, sum(known) / len(known) if known else None)


class Overlap(Enum):
    """What words over a reply mean."""

    NO_WORDS = "no words"
    """Nothing, or only sounds such as laughter."""
    BACKCHANNEL = "backchannel"
    """A sign of listening."""
    ECHO = "echo"
    """The reply's own words."""
    STOP = "stop"
    """A request for silence, and nothing else."""
    SPEECH = "speech"
    """The user takes the turn."""

    @property
    def stops(self) -> bool:
        """Whether the reply stops."""
        return self in (Overlap.STOP, Overlap.SPEECH)


class OverlapJudge:
    """Judges the words of one session.

    Args:
        stop_phrases: the session's own phrases that stop a reply.
    """

    def __init__(self, stop_phrases: Iterable[str] = ()) -> None:
        table = _phrases()
        own = {tokens for phrase in stop_phrases if (tokens := tuple(_tokens(phrase)))}
        self._sounds = table["sounds"]
        self._listening = table["backchannels"] | table["sounds"]
        self._stops = table["stops"] | own
        self._silencing = self._listening | self._stops | table["courtesies"]
        self._leading = self._listening | table["courtesies"]

    def judge(self, words: Words, reply: str = "") -> Overlap:
        """Returns what words mean.

        Args:
            words: what was said so far.
            reply: the words of the reply that were played at about that time.
        """
        tokens = _tokens(words.text)
        if _covered(tokens, self._sounds):  # also where there are none
            return Overlap.NO_WORDS
        if self._begins_with_stop(tokens):
            return Overlap.STOP if _covered(tokens, self._silencing) else Overlap.SPEECH
        if _is_echo(tokens, _tokens(reply)):
            return Overlap.ECHO
        if _covered(tokens, self._listening):
            return Overlap.BACKCHANNEL
        invented = words.confidence is not None and words.confidence < MIN_CONFIDENCE
        return Overlap.NO_WORDS if invented else Overlap.SPEECH

    def _begins_with_stop(self, tokens: Sequence[str]) -> bool:
        start = 0
        while start < len(tokens):
            if _longest(tokens, start, self._stops):
                return True
            length = _longest(tokens, start, self._leading)
            if not length:
                return False
            start += length
        return False


def _tokens(text: str) -> list[str]:
    """Returns the words in lower case; repeated sounds are shortened, so that "mmm" is "m" and "hahaha" is "ha"."""
    return [_shortened(token.replace("\u2019", "'")) for token in _TOKEN.findall(text.casefold())]


def _shortened(token: str) -> str:
    """Shortens a token of one or two different letters: "mmm" is "m", "hahaha" is "ha"."""
    letters = set(token)
    if len(letters) == 1:
        return token[0]
    if len(letters) == 2 and token == (token[:2] * len(token))[: len(token)]:
        return token[:2]
    return "".join(letter for letter, _ in groupby(token)) if len(letters) == 2 else token


def _covered(tokens: Sequence[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Whether the words are a sequence of phrases."""
    start = 0
    while start < len(tokens):
        length = _longest(tokens, start, phrases)
        if not length:
            return False
        start += length
    return True


def _longest(tokens: Sequence[str], start: int, phrases: frozenset[tuple[str, ...]]) -> int:
    """Returns the number of words of the longest phrase that begins at `start`; 0: there is none."""
    most = min(MAX_PHRASE, len(tokens) - start)
    return next((n for n in range(most, 0, -1) if tuple(tokens[start : start + n]) in phrases), 0)


def _is_echo(said: Sequence[str], reply: Sequence[str]) -> bool:
    if not said or not reply:
        return False
    letters = "".join(said[:MAX_TOKENS])
    if len(letters) < MIN_ECHO_LETTERS:
        return any(tuple(reply[at : at + len(said)]) == tuple(said) for at in range(len(reply) - len(said) + 1))
    matcher = SequenceMatcher(None, letters, "".join(reply[-2 * MAX_TOKENS :]), autojunk=False)
    found = sum(block.size for block in matcher.get_matching_blocks() if block.size >= MIN_ECHO_RUN)
    return found >= ECHO_SHARE * len(letters)


@cache
def _phrases() -> dict[str, frozenset[tuple[str, ...]]]:
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {name: frozenset(tuple(_tokens(phrase)) for phrase in phrases) for name, phrases in table.items()}
