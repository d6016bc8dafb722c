"""Cuts a clip to what CSM's context takes, at a pause, and its text with it."""

from __future__ import annotations

import numpy as np

from oviya.rvq import FRAME_S
from services.gateway.own_voice.clip import Clip
from services.gateway.own_voice.sound_checks import frame_levels
from services.gateway.own_voice.text_match import words_up_to
from services.gateway.own_voice.transcription import ClipTranscript, SpokenWord

CONTEXT_SHARE = 4
"""A clip may fill a quarter of the checkpoint's positions; the rest is for the conversation and the answer.  With 2,048
positions this is about 20 s, with the demo checkpoint's 1,024 about 10 s."""
DEFAULT_POSITIONS = 2048
LEAD_S, TAIL_S = 0.06, 0.12
"""Silence that is kept before the first and after the last word."""
LEVEL_S = 0.010
QUIET_DB = 25.0
"""Frames this far below the loud ones are a pause."""
MIN_KEPT = 0.5
"""Least share of the room that a cut clip fills: a pause before that is too early."""


def fit_clip(clip: Clip, transcript: ClipTranscript, text: str, max_positions: int) -> tuple[Clip, str]:
    """Returns the clip without the silence around its speech, cut after a word if it is too long, and its text.

    A frame of 80 ms takes a position, and a character of the text at most one.

    Args:
        text: what is said, from the caller or from `transcript`.
        max_positions: those of the checkpoint; 0: unknown.
    """
    room = (max_positions or DEFAULT_POSITIONS) // CONTEXT_SHARE
    start_s = max(0.0, transcript.speech[0][0] - LEAD_S)
    end_s = min(clip.duration_s, transcript.speech[-1][1] + TAIL_S)
    if (end_s - start_s) / FRAME_S + len(text) <= room:
        return clip.part(start_s, end_s), text
    levels = frame_levels(clip.samples, round(LEVEL_S * clip.rate_hz))
    loud = float(np.quantile(levels, 0.9))
    best: tuple[bool, int, float] | None = None  # at a pause, words, time
    for count in range(1, len(transcript.words)):
        at_s, length_s = _gap_after(transcript.words, count, levels, loud - QUIET_DB)
        used = (at_s - start_s) / FRAME_S + len(words_up_to(text, transcript, count))
        if used > room:
            break
        paused = length_s >= TAIL_S and used >= MIN_KEPT * room
        if best is None or paused or not best[0]:
            best = (paused, count, at_s)
    if best is None:  # a word that fills the room alone
        return clip.part(start_s, start_s + room / 2 * FRAME_S), words_up_to(text, transcript, 1)
    _, count, at_s = best
    return clip.part(start_s, at_s), words_up_to(text, transcript, count)


def _gap_after(words: tuple[SpokenWord, ...], count: int, levels: np.ndarray, quiet: float) -> tuple[float, float]:
    """Returns where to cut after the first `count` words, and the length of the pause there, in seconds.

    The times of words are only about right, so the place is the quietest one between the middles of the two words.
    """
    before, after = words[count - 1], words[count]
    low = int((before.start_s + before.end_s) / 2 / LEVEL_S)
    high = max(low + 1, int((after.start_s + after.end_s) / 2 / LEVEL_S))
    between = levels[low:high]
    if not len(between):
        return before.end_s, 0.0
    at = low + int(np.argmin(between))
    first = last = at
    while first > low and levels[first - 1] < quiet:
        first -= 1
    while last + 1 < high and levels[last + 1] < quiet:
        last += 1
    length_s = (last - first) * LEVEL_S
    return min(first * LEVEL_S + TAIL_S, (last + 1) * LEVEL_S), length_s
