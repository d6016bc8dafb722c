"""One sentence between synthesis and playback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from oviya.audio.pcm import Pcm
from oviya.v1 import common_pb2
from services.gateway.voice.segment import Segment, Voice


@dataclass(frozen=True)
class VoiceStart:
    """Precedes the sound of a voice.  A second one means that another voice repeats the sentence from its beginning."""

    voice: Voice
    language: str


class SynthesizedSegment:
    """What was synthesized of a sentence and what was sent of it.

    Positions are seconds from the beginning of the reply's sound.

    Args:
        segment: the sentence.

    Attributes:
        audio: sound that waits to be sent, bounded by the length of a sentence; None ends it.
        frames: the RVQ frames that CSM generated.
        first_frame_at: loop time of the first of them in seconds.
        start_s: position at which the sentence begins; None: nothing of it has been sent.
        end_s: position up to which it has been sent.
        complete: whether it has been sent to its end.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.audio: asyncio.Queue[VoiceStart | Pcm | None] = asyncio.Queue()
        self.frames = common_pb2.RvqFrames()
        self.first_frame_at: float | None = None
        self.start_s: float | None = None
        self.end_s = 0.0
        self.complete = False

    def add_frames(self, frames: common_pb2.RvqFrames) -> None:
        """Adds RVQ frames from CSM."""
        if self.first_frame_at is None:
            self.first_frame_at = asyncio.get_running_loop().time()
        self.frames.codebooks = frames.codebooks
        self.frames.codes.extend(frames.codes)

    def discard_unsent(self) -> None:
        """Drops the sound that has not been sent."""
        while not self.audio.empty():
            self.audio.get_nowait()
