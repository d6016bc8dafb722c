"""Validates requests, and estimates how long an answer takes."""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from oviya.errors import InvalidInput
from oviya.text.scripts import main_script, speaks
from services.csm.model.config import FRAME_S, CsmConfig
from services.csm.request.prompt import Segment
from services.csm.request.request import GenerateRequest

MAX_TEMPERATURE = 2.0
MAX_SPEAKER = 65_535
MAX_SEED = 2**64 - 1
MAX_STYLE_CHARS = 64

LETTERS_PER_S = 14.0
"""Pace of speech in letters a second, including blanks: read English has about 150 words of 5.7 letters a minute."""

RUNAWAY_FACTOR = 2.5
"""An answer this much slower than that, including pauses, is a runaway."""

SLACK_S = 2.0
"""Time that does not grow with the text: a breath, a pause, the tail of the last word."""

_LETTERS_OF_DIGIT = 5
"""A digit is spoken as a word: "seven"."""
_LETTERS_OF_WIDE = 3
"""A Chinese or Japanese character, or a Korean block, is one or two syllables."""


@dataclass(frozen=True)
class Limits:
    """Limits of a service, from its settings.

    Attributes:
        text_chars: longest text, in characters.
        context_segments: most segments of a request's context.
        context_turns: segments that a prompt keeps, not counting reference clips.
        frames: longest answer.
    """

    text_chars: int = 8192
    context_segments: int = 64
    context_turns: int = 64
    frames: int = 9000


def check_request(
    request: GenerateRequest, config: CsmConfig, limits: Limits, *, scripts: Sequence[str], styles: Sequence[str]
) -> None:
    """Checks all of a request but its sampling and its reference clip.

    Args:
        scripts: scripts that the checkpoint speaks; empty: any.
        styles: styles that it was trained on.

    Raises:
        InvalidInput: a field is out of its range.
    """
    check_text(request.text, limits, scripts)
    check_speaker(request.speaker, "speaker")
    check_style(request.style, styles)
    check_context(request.context, config, limits)
    if request.lead_s is not None and not request.lead_s >= 0:
        raise InvalidInput("lead", request.lead_s, "must be 0 (as fast as possible) or more seconds")
    if not 0 <= request.max_frames <= limits.frames:
        raise InvalidInput("max_frames", request.max_frames, f"must be 0 (from the text) to {limits.frames}")


def check_text(text: str, limits: Limits, scripts: Sequence[str] = ()) -> None:
    """Raises InvalidInput if the text is empty, too long, or in none of `scripts` (empty: any script is accepted)."""
    if not 1 <= len(text) <= limits.text_chars:
        raise InvalidInput("text", text, f"must have 1 to {limits.text_chars} characters, has {len(text)}")
    if not any(map(str.isalnum, text)):
        raise InvalidInput("text", text, "must hold a letter or a digit")
    script = main_script(text)
    if not speaks(scripts, script):
        limit = f"this checkpoint speaks {', '.join(scripts)} script only"
        raise InvalidInput("text", f"{script} script", limit, hint="the gateway's fallback voice reads other scripts")
    needed = expected_frames(text)
    if needed > limits.frames:
        limit = f"must take at most {limits.frames} frames of {FRAME_S * 1e3:g} ms to say"
        raise InvalidInput("text", f"about {needed} frames", limit, hint="send it in parts")


def check_context(context: Sequence[Segment], config: CsmConfig, limits: Limits) -> None:
    """Raises InvalidInput if a segment cannot be part of a prompt."""
    if len(context) > limits.context_segments:
        raise InvalidInput("context", f"{len(context)} segments", f"at most {limits.context_segments} segments")
    for i, segment in enumerate(context):
        field = f"context[{i}]"
        if segment.reference and i and not context[i - 1].reference:
            raise InvalidInput(f"{field}.reference", True, "reference clips must come before all turns")
        check_speaker(segment.speaker, f"{field}.speaker")
        if len(segment.text) > limits.text_chars:
            limit = f"at most {limits.text_chars} characters, has {len(segment.text)}"
            raise InvalidInput(f"{field}.text", segment.text, limit)
        audio = segment.audio
        if audio is None:
            if not segment.text:
                raise InvalidInput(field, "", "must have text or audio")
            continue
        if audio.ndim != 2 or audio.shape[1] != config.codebooks:
            raise InvalidInput(f"{field}.audio.codebooks", audio.shape[-1], f"must be {config.codebooks}")
        if audio.size and not 0 <= audio.min() <= audio.max() < config.codebook_size:
            wrong = audio.min() if audio.min() < 0 else audio.max()
            raise InvalidInput(f"{field}.audio.codes", wrong, f"must be 0 to {config.codebook_size - 1}")


def check_speaker(speaker: int, field: str) -> None:
    """Raises InvalidInput if `speaker` is not a speaker id."""
    if not 0 <= speaker <= MAX_SPEAKER:
        raise InvalidInput(field, speaker, f"must be 0 to {MAX_SPEAKER}")


def check_sampling(temperature: float, top_k: int, seed: int, codebook_size: int) -> None:
    """Raises InvalidInput if a sampling parameter is out of its range; NaN is out of every range."""
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise InvalidInput("sampling.temperature", temperature, f"must be 0 to {MAX_TEMPERATURE:g}")
    if not 1 <= top_k <= codebook_size:
        raise InvalidInput("sampling.top_k", top_k, f"must be 1 to {codebook_size}")
    if not 0 <= seed <= MAX_SEED:
        raise InvalidInput("sampling.seed", seed, "must be 0 to 2^64 - 1")


def check_style(style: str, styles: Sequence[str]) -> None:
    """Raises InvalidInput if the checkpoint was not trained on `style`; empty is no style."""
    if style and style not in styles:
        near = difflib.get_close_matches(style[:MAX_STYLE_CHARS].lower(), styles, n=3, cutoff=0.4)
        limit = f"must be one of {', '.join(styles)}"
        if not styles:
            limit = "this checkpoint has no style tokens: leave it empty"
        raise InvalidInput("style", style, limit, suggestions=near)


def expected_frames(text: str) -> int:
    """Frames of `text` spoken at an ordinary pace."""
    return max(1, round(estimate_frames(text)))


def estimate_frames(text: str) -> float:
    """The same, not rounded: additive over the parts of a text."""
    return _spoken_letters(text) / LETTERS_PER_S / FRAME_S


def runaway_frames(text: str) -> int:
    """Frames after which an answer to `text` counts as a runaway."""
    return math.ceil((_spoken_letters(text) * RUNAWAY_FACTOR / LETTERS_PER_S + SLACK_S) / FRAME_S)


def _spoken_letters(text: str) -> int:
    digits = sum(map(str.isdigit, text))
    wide = sum(unicodedata.east_asian_width(letter) in "WF" and not letter.isdigit() for letter in text)
    return len(text) + digits * (_LETTERS_OF_DIGIT - 1) + wide * (_LETTERS_OF_WIDE - 1)
