"""Builds prompts: context segments, then the text to be said.

A position holds either a text token or a frame of codes.  A segment is the rows of `BOS [speaker]text EOS`, then its
frames, then one end frame; a segment without sound is its text rows alone.  The text to be said is the last segment,
whose frames the model makes (SesameAILabs/csm, generator.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.csm.config import END_CODE
from services.csm.tokenizer import TextTokenizer

NO_TEXT = -1
"""Stands in a row of text ids where the position holds a frame."""


@dataclass(frozen=True)
class Segment:
    """Earlier speech.

    Attributes:
        speaker: who spoke.
        text: what was said; empty where the words are unknown.
        audio: how it sounded, codes (T, Q), or None.
    """

    speaker: int
    text: str
    audio: NDArray[np.int64] | None = None


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


def build_prompt(
    tokenizer: TextTokenizer,
    codebooks: int,
    *,
    text: str,
    speaker: int,
    style: str = "",
    context: Sequence[Segment] = (),
) -> Prompt:
    """Lays out `context`, oldest first, and the text to be said, in `style`."""
    texts: list[NDArray[np.int64]] = []
    codes: list[NDArray[np.int64]] = []

    def add(ids: Sequence[int], frames: NDArray[np.int64]) -> None:
        texts.append(np.concatenate((np.asarray(ids, np.int64), np.full(len(frames), NO_TEXT, np.int64))))
        codes.append(np.concatenate((np.zeros((len(ids), codebooks), np.int64), frames)))

    silent = np.empty((0, codebooks), np.int64)
    end = np.full((1, codebooks), END_CODE, np.int64)
    for segment in context:
        audio = segment.audio
        frames = silent if audio is None or not len(audio) else np.concatenate((audio, end))
        add(tokenizer.segment(segment.text, segment.speaker), frames)
    add(tokenizer.segment(text, speaker, style), silent)
    return Prompt(np.concatenate(texts), np.concatenate(codes))
