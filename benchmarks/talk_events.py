"""The events of a conversation as they arrive at a simulated user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.talk_outcome import Arrival, Outcome, outcome_of
from oviya.v1 import conversation_pb2

PATIENCE_S = 20.0


class EventLog:
    """Keeps all events with their times.

    Attributes:
        arrivals: the events, oldest first.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._arrived = asyncio.Event()
        self._ended = False

    @property
    def now_s(self) -> float:
        """The loop's clock, in seconds."""
        return asyncio.get_running_loop().time()

    def add(self, response: conversation_pb2.ConverseResponse) -> Arrival:
        """Adds an event that arrives now."""
        arrival = Arrival(self.now_s, response)
        self.arrivals.append(arrival)
        self._arrived.set()
        return arrival

    def end(self) -> None:
        """Marks the conversation as over."""
        self._ended = True
        self._arrived.set()

    async def wait_for(
        self, wanted: Callable[[Arrival], bool], timeout_s: float = PATIENCE_S, since_s: float = 0.0
    ) -> Arrival | None:
        """Waits for an event that arrived at or after `since_s`; returns None if none arrives in time."""
        seen = 0
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for arrival in self.arrivals[seen:]:
                        if arrival.at_s >= since_s and wanted(arrival):
                            return arrival
                    seen = len(self.arrivals)
                    if self._ended:
                        return None
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None

    def outcome(self, reply: int, since_s: float) -> Outcome:
        """Returns what came of a sound that began at `since_s` over the reply of turn `reply`."""
        return outcome_of(self.arrivals, reply, since_s)

    def timeline(self, zero_s: float) -> list[str]:
        """Returns the events, with their times relative to `zero_s`, for people to read; not the most frequent ones."""
        told = [arrival for arrival in self.arrivals if arrival.kind not in ("audio", "words_spoken")]
        return [f"{arrival.at_s - zero_s:+.3f} {arrival}" for arrival in told]
