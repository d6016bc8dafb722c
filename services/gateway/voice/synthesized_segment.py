"""One sentence between synthesis and playback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from oviya.audio.pcm import Pcm
from oviya.v1 import common_pb2
from services.gateway.voice.segment import Segment, Voice


@dataclass(frozen=True)
class VoiceStart:
    """Precedes the sound of a voice.  A second one means that another voice repeats the sentence from its beginning."""

    voice: Voice
    language: str


@dataclass(eq=False)
class SynthesizedSegment:
    """What was synthesized of a sentence and what was sent of it.

    Attributes:
        segment: the sentence.
        audio: sound that waits to be sent, bounded by the length of a sentence; None ends it.
        frames: the RVQ frames that CSM generated.
        first_frame_at: loop time of the first of them, in seconds.
        start_s: seconds of the reply's sound before the sentence; None: nothing of it has been sent.
        end_s: seconds of the reply's sound up to the end of what was sent.
        complete: whether it was sent to its end.
    """

    segment: Segment
    audio: asyncio.Queue[VoiceStart | Pcm | None] = field(default_factory=asyncio.Queue)
    frames: common_pb2.RvqFrames = field(default_factory=common_pb2.RvqFrames)
    first_frame_at: float | None = None
    start_s: float | None = None
    end_s: float = 0.0
    complete: bool = False

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
