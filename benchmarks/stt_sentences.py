"""The sentences of the speech-to-text benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.report import ROOT
from services.stt.endpoint.sentence_end import CONJUNCTIONS

TURNS = tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines())
"""Forty sentences for ends of turns, each also spoken with a pause after the word nearest its middle."""


OTHERS = (ROOT / "training" / "demo_voice" / "texts" / "held_out.txt").read_text(encoding="utf-8").splitlines()
DEVELOPMENT, HELD_OUT = OTHERS[0::2], OTHERS[1::2]
"""A hundred sentences each, with punctuation: for developing endpointing rules, and untouched by any tuning."""
MIN_CLAUSE_WORDS = 2
SPEECH_LEVEL = 0.01
"""-40 dBFS: flite's silences are far below, its softest phones above."""


def clause_place(text: str) -> int:
    """Returns the number of words before the comma or conjunction nearest the middle of `text`; if there is none,
    before the middle."""
    words = text.split()
    places = [
        place
        for place in range(MIN_CLAUSE_WORDS, len(words) - MIN_CLAUSE_WORDS + 1)
        if words[place - 1].endswith(",") or re.sub(r"\W", "", words[place].lower()) in CONJUNCTIONS
    ]
    middle = (len(words) + 1) // 2
    return min(places, key=lambda place: abs(place - middle), default=middle)
