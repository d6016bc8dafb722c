"""Mood radio: a phone-in show whose host drifts from one mood to another, a caller at a time.

    python examples/mood_radio.py melancholic joyful_excited show.wav

The 49 emotions have a place on the map of valence (unpleasant to pleasant) and arousal (calm to excited).  The show
takes the straight way between two of them.  The jingle is spoken with `say` in the mood of the moment; the host is a
conversation whose emotion is set before each call.
"""

import asyncio
import math
import os
import sys
from pathlib import Path

import numpy as np

from oviya.audio.wav import write_wav
from oviya.client import AudioChunk, Oviya, ReplyEnded, Sentence, TurnFailed
from oviya.emotions.tables import Emotion, load_emotions

CALLS = (
    "It has been raining here for a week.",
    "I cannot find my favourite umbrella.",
    "My sister is coming to visit tomorrow.",
    "I have just found the umbrella, and the sun is out!",
)


def way(start: str, end: str, steps: int) -> list[str]:
    """Returns the emotions that are nearest to the straight way from one to another, both included."""
    emotions = load_emotions()
    a, b = emotions[start], emotions[end]

    def nearest(share: float) -> Emotion:
        valence, arousal = (
            getattr(a, axis) * (1 - share) + getattr(b, axis) * share for axis in ("valence", "arousal")
        )
        return min(emotions.values(), key=lambda each: math.dist((each.valence, each.arousal), (valence, arousal)))

    return [start, *(nearest(step / (steps - 1)).name for step in range(1, steps - 1)), end]


async def show(start: str, end: str) -> tuple[np.ndarray, int]:
    """Holds the show; returns its samples, shape (samples,), and their rate."""
    tape: list[np.ndarray] = []
    async with (
        Oviya(os.environ.get("OVIYA_ADDRESS", "localhost:50050")) as oviya,
        oviya.converse(lead_s=0) as studio,  # not live, so as fast as possible
    ):
        events = aiter(studio)
        for mood, call in zip(way(start, end, len(CALLS)), CALLS, strict=True):
            jingle = await oviya.say("This is mood radio, and you are on the air.", emotion=mood)
            tape.append(jingle.samples)
            print(f"\ncaller: {call}", flush=True)
            await studio.set_emotion(mood)
            await studio.send_text(call)
            async for event in events:
                match event:
                    case Sentence():
                        print(f"host:   [{event.plan.emotion}] {event.text}", flush=True)
                    case AudioChunk():
                        tape.append(event.samples)
                    case ReplyEnded() | TurnFailed():
                        break
    return np.concatenate(tape), jingle.sample_rate_hz


if __name__ == "__main__":
    first, last, target = sys.argv[1:]
    write_wav(Path(target), *asyncio.run(show(first, last)))
