"""Builds prompts: context segments, then the text to speak.

A position holds either a text token or a frame of codes.  A segment is the tokens of `BOS [speaker]text EOS`, then its
frames, then one end frame; a segment without audio is its tokens only.  The text to speak is the last segment, whose
frames the model generates (SesameAILabs/csm, generator.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.csm.model.config import END_CODE
from services.csm.request.tokenizer import TextTokenizer

NO_TEXT = -1
"""The text token of a position that holds a frame."""


@dataclass(frozen=True)
class Segment:
    """Earlier speech.

    Attributes:
        speaker: id of the speaker.
        text: what was said; empty if unknown.
        audio: codes (T, Q), or None.
        reference: whether it is a clip of the voice to speak with, which is never dropped.
    """

    speaker: int
    text: str
    audio: NDArray[np.int64] | None = None
    reference: bool = False


@dataclass(frozen=True)
class Prompt:
    """The positions of a prompt.

    Attributes:
        text: (P,) int64, the text token of each position or NO_TEXT.
        codes: (P, Q) int64, the frame of each position; zeros where it holds text.
    """

    text: NDArray[np.int64]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.text)


def text_prompt(tokenizer: TextTokenizer, codebooks: int, text: str, speaker: int, style: str = "") -> Prompt:
    """The positions of a text: `BOS [speaker] style? text EOS`."""
    ids = np.asarray(tokenizer.encode_segment(text, speaker, style), np.int64)
    return Prompt(ids, np.zeros((len(ids), codebooks), np.int64))


def segment_prompt(tokenizer: TextTokenizer, codebooks: int, segment: Segment) -> Prompt:
    """The positions of a segment: its text, its frames and the end frame."""
    text = text_prompt(tokenizer, codebooks, segment.text, segment.speaker)
    if segment.audio is None or not len(segment.audio):
        return text
    frames = np.concatenate((segment.audio, np.full((1, codebooks), END_CODE, np.int64)))
    return join_prompts((text, Prompt(np.full(len(frames), NO_TEXT, np.int64), frames)))


def join_prompts(prompts: Sequence[Prompt]) -> Prompt:
    """Concatenates prompts."""
    return Prompt(np.concatenate([p.text for p in prompts]), np.concatenate([p.codes for p in prompts]))
