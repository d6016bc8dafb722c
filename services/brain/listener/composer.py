"""Sentences without end: frames whose parts combine, for when every written sentence has been said."""

from __future__ import annotations

import math
from collections.abc import Iterator

from services.brain.listener.script import Frame

_GOLDEN = (math.sqrt(5) - 1) / 2


def combinations(frame: Frame, start: int) -> Iterator[str]:
    """Every sentence of `frame` once.  Steps by the golden section, so that neighbours differ in most parts."""
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
    """Sentences of all frames, beginning with another frame at each turn; at last, numbered ones without end."""
    for number in range(len(frames)):
        yield from combinations(frames[(turn + number) % len(frames)], seed + turn)
    count = turn
    while True:
        count += 1
        yield f"This is answer number {count}, and I am still listening."
