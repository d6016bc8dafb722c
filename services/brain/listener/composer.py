"""Composes sentences from frames, once every written sentence has been used."""

from __future__ import annotations

import math
from collections.abc import Iterator

from services.brain.listener.script import Frame

_GOLDEN = (math.sqrt(5) - 1) / 2


def combinations(frame: Frame, start: int) -> Iterator[str]:
    """Yields every sentence of `frame` once, in steps of the golden section: neighbours differ in most parts."""
    total = math.prod(len(options) for _, options in frame.parts)
    step = max(1, round(total * _GOLDEN))
    while math.gcd(step, total) != 1:
        step += 1
    for number in range(total):
        index = (start + number * step) % total
        text = frame.text
        for slot, options in frame.parts:
            index, choice = divmod(index, len(options))
            text = text.replace("{" + slot + "}", options[choice])
        yield text[0].upper() + text[1:]


def compose(frames: tuple[Frame, ...], turn: int, seed: int) -> Iterator[str]:
    """Yields the sentences of all frames, starting with a different frame at each turn, and then numbered sentences."""
    for number in range(len(frames)):
        yield from combinations(frames[(turn + number) % len(frames)], seed + turn)
    count = turn
    while True:
        count += 1
        yield f"This is answer number {count}, and I am still listening."
