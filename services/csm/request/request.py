"""What is asked of the engine and how it ended; plain values, no wire format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.csm.request.prompt import Segment


@dataclass(frozen=True)
class GenerateRequest:
    """A text to speak.

    Attributes:
        text: what to say.
        speaker: speaker id that leads the text.
        context: earlier speech, oldest first, reference clips before all turns.
        style: a style that the checkpoint's card lists; empty is none.
        temperature, top_k: how to draw codes; None takes the engine's defaults.
        seed: None draws a fresh one.
        max_frames: longest answer; 0 takes a limit from the text's length.
        lead_s: how far ahead of real time frames are made, in seconds; 0 is as fast as possible, None the default.
        reference_clip: a clip that ships with the checkpoint, heard before the context; empty is none.
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
    """Why a generation ended, from as it should be to the worst."""

    END_FRAME = "end_frame"
    LENGTH = "length"
    """`max_frames`, or the model's last position."""
    SILENCE = "silence"
    """Nothing was said for long."""
    RUNAWAY = "runaway"
    """Far more was said than the text takes."""


WORST_FIRST = (FinishReason.RUNAWAY, FinishReason.SILENCE, FinishReason.LENGTH, FinishReason.END_FRAME)


@dataclass(frozen=True)
class GenerationEnd:
    """How a generation went.

    Attributes:
        reason: why it ended; of a text in pieces, the worst reason of any piece.
        frames: frames that were made.
        prompt_positions: positions of the prompt; of the first piece's.
        cached_positions: how many of them an earlier prompt had left behind.
        seed: the seed that was used.
        dropped_segments: turns of the context that were left out, the oldest ones.
        pieces: prompts that the text was cut into.
    """

    reason: FinishReason
    frames: int
    prompt_positions: int
    cached_positions: int
    seed: int
    dropped_segments: int
    pieces: int
