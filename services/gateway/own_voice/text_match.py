"""Compares the text that a caller gives for a clip with what was heard in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np

from oviya.errors import shorten
from oviya.text.speakable.normalizer import speakable
from services.gateway.own_voice.clip import TEXT_FIELD, refused
from services.gateway.own_voice.transcription import ClipTranscript

LEAST_LIKENESS = 0.5
"""Two different pairs of sentences have 0.17 to 0.34.  Of words that are heard wrong, most letters are right."""
_NO_LETTERS = re.compile(r"[^\w ]|_")


def check_text_matches(text: str, transcript: ClipTranscript) -> None:
    """Checks that `text` is what is said.

    Raises:
        InvalidInput: it is too different from what was heard.
    """
    if likeness(text, transcript.text) < LEAST_LIKENESS:
        limit = f"must be what is said in the clip; heard: {shorten(transcript.text)!r}"
        raise refused("other_text", text, limit, hint="leave the text empty to use what was heard", field=TEXT_FIELD)


def likeness(text: str, heard: str) -> float:
    """Returns 1 less the letters that differ, relative to the longer text: 1 for the same words."""
    one, other = _plain(text), _plain(heard)
    longest = max(len(one), len(other))
    return 1 - _edits(one, other) / longest if longest else 1.0


def words_up_to(text: str, transcript: ClipTranscript, count: int) -> str:
    """Returns the beginning of the caller's text that belongs to the first `count` words that were heard."""
    given = text.split()
    heard = [_plain(word.text) for word in transcript.words]
    plain = [_plain(word) for word in given]
    end = round(len(given) * count / max(1, len(heard)))
    for block in difflib.SequenceMatcher(None, heard, plain, autojunk=False).get_matching_blocks():
        if block.size and block.a < count:
            end = block.b + min(block.size, count - block.a)
            missing = count - block.a - block.size  # words after the block that were heard differently
            end = min(len(given), end + max(0, missing))
    return " ".join(given[:end])


def _plain(text: str) -> str:
    return " ".join(_NO_LETTERS.sub("", speakable(text).lower().replace("-", " ")).split())


def _edits(one: Sequence[str], other: Sequence[str]) -> int:
    """Returns the Levenshtein distance; a row of the table at a time."""
    letters = np.array([ord(letter) for letter in other], np.int64)
    places = np.arange(len(letters) + 1)
    row = places.copy()
    for letter in one:
        after = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(letter)))
        row = np.minimum.accumulate(np.concatenate(([row[0] + 1], after)) - places) + places
    return int(row[-1])
