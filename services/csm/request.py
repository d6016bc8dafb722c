"""What is asked of the engine and how it ended; plain values, no wire format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.csm.prompt import Segment


@dataclass(frozen=True)
class GenerateRequest:
    """A text to speak.

    Attributes:
        text: what to say.
        speaker: speaker id that leads the text.
        context: earlier speech, oldest first, a reference clip before all.
        style: a style that the checkpoint's card lists; empty is none.
        temperature, top_k: how to draw codes; None takes the engine's defaults.
        seed: None draws a fresh one.
        max_frames: longest answer; 0 takes a limit from the text's length.
        lead_s: how far ahead of real time frames are made, in seconds; 0 is as fast as possible, None the default.
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


class Finish(Enum):
    """Why a generation ended."""

    END_FRAME = "end_frame"
    LENGTH = "length"


@dataclass(frozen=True)
class GenerationEnd:
    """How a generation went."""

    reason: Finish
    frames: int
    prompt_positions: int
    seed: int
