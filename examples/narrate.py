"""A narrator: reads a text file aloud into one sound file, each paragraph in its own emotion.

    python examples/narrate.py story.txt story.wav

Paragraphs are separated by empty lines.  One that begins with an emotion, such as "[wistful] It was late.", is read
that way; `oviya say --emotion` knows the same names.  Several paragraphs are spoken at the same time.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import numpy as np

from oviya.audio.wav import write_wav
from oviya.client import Oviya, Speech

AT_ONCE = 4
PAUSE_S = 0.6
VOICE_SEED = 7  # the same for all, so that a story sounds the same each time


def paragraphs(text: str) -> list[tuple[str, str]]:
    """Returns (emotion, text) of each paragraph."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    found = [re.match(r"\[(\w+)\] *(.*)", part) for part in parts]
    return [(match[1], match[2]) if match else ("", part) for part, match in zip(parts, found, strict=True)]


async def narrate(text: str) -> tuple[np.ndarray, int]:
    """Returns the samples, shape (samples,), and their rate."""
    places = asyncio.Semaphore(AT_ONCE)

    async def read(number: int, emotion: str, paragraph: str) -> Speech:
        async with places:
            speech = await oviya.say(paragraph, emotion=emotion, seed=VOICE_SEED)
        print(f"{number:3} [{emotion or 'neutral'}] {len(speech.samples) / speech.sample_rate_hz:.1f} s", flush=True)
        return speech

    async with Oviya(os.environ.get("OVIYA_ADDRESS", "localhost:50050")) as oviya:
        speeches = await asyncio.gather(*(read(at, *part) for at, part in enumerate(paragraphs(text), start=1)))
    rate_hz = speeches[0].sample_rate_hz
    pause = np.zeros(round(PAUSE_S * rate_hz), np.float32)
    return np.concatenate([sound for speech in speeches for sound in (speech.samples, pause)]), rate_hz


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    write_wav(target, *asyncio.run(narrate(source.read_text("utf-8"))))
