"""A short sentence that bridges a long wait for the brain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from oviya.tasks import cancel_and_wait
from services.gateway import metrics
from services.gateway.voice.segment import Sentence

EMOTION = "thoughtful"
"""Emotion of a filler."""

WithFiller = Callable[[AsyncGenerator[Sentence, None], asyncio.Event], AsyncGenerator[Sentence, None]]
"""Adds a filler to a reply; the wait counts from the event."""


class Fillers:
    """The fillers of one session, used in turn.

    Args:
        texts: the sentences; none: nothing is said.
        after_s: wait in seconds after which one is said.
    """

    def __init__(self, texts: list[str], after_s: float) -> None:
        self._texts, self._after_s = texts, after_s
        self._said = 0

    async def add(
        self, sentences: AsyncGenerator[Sentence, None], begun: asyncio.Event
    ) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of a reply, after a filler if the first one takes too long.

        Args:
            sentences: the reply.
            begun: set when the user's turn is over.
        """
        async with aclosing(sentences):
            first = asyncio.ensure_future(anext(sentences, None))
            waiting = asyncio.create_task(begun.wait())
            try:
                await asyncio.wait({first, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if self._texts and not first.done():
                    await asyncio.wait({first}, timeout=self._after_s)
                    if not first.done():
                        yield self._next()
                sentence = await first
            finally:
                await cancel_and_wait(first, waiting)
            if sentence is None:
                return
            yield sentence
            async for sentence in sentences:
                yield sentence

    def _next(self) -> Sentence:
        text = self._texts[self._said % len(self._texts)]
        self._said += 1
        metrics.FILLERS.inc()
        return Sentence(text, text, EMOTION, filler=True)
