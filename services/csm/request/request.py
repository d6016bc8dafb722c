"""Requests to the engine and their results, independent of the wire format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.csm.request.prompt import Segment


@dataclass(frozen=True)
class GenerateRequest:
    """A text to speak.

    Attributes:
        text: what to say.
        speaker: speaker id.
        context: earlier speech, oldest first, reference clips before all turns.
        style: a style that the checkpoint's card lists; empty: none.
        temperature, top_k: how codes are drawn; None: the engine's defaults.
        seed: None: a random one.
        max_frames: longest answer; 0: from the length of the text.
        lead_s: how far ahead of real time frames are made, in seconds; 0: as fast as possible; None: the default.
        reference_clip: name of a clip that ships with the checkpoint, put before the context; empty: none.
    """

    text: str
    speaker: int = 0
    context: tuple[Segment, ...] = ()
    style: str = ""
    temperature: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_frames: int = 0
    lead_s: float | None = None
    reference_clip: str = ""


class FinishReason(Enum):
    """Why a generation ended, from best to worst."""

    END_FRAME = "end_frame"
    LENGTH = "length"
    """It reached `max_frames` or the model's last position."""
    SILENCE = "silence"
    """It was silent for too long."""
    RUNAWAY = "runaway"
    """It became far longer than the text takes."""


WORST_FIRST = (FinishReason.RUNAWAY, FinishReason.SILENCE, FinishReason.LENGTH, FinishReason.END_FRAME)


@dataclass(frozen=True)
class GenerationEnd:
    """How a generation went.

    Attributes:
        reason: why it ended; the worst reason of all pieces.
        frames: number of frames.
        prompt_positions: positions of the first piece's prompt.
        cached_positions: how many of them were found in the prefix cache.
        seed: the seed that was used.
        dropped_segments: turns of the context that were dropped, oldest first.
        pieces: pieces that the text was cut into.
    """

    reason: FinishReason
    frames: int
    prompt_positions: int
    cached_positions: int
    seed: int
    dropped_segments: int
    pieces: int
