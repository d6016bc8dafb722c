"""Requests of one browser on their way to the conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from oviya.durations import duration
from oviya.v1 import conversation_pb2


class RequestQueue:
    """A bounded queue of requests.  Reports of what has been played have their own place before it.

    Args:
        capacity: requests that may wait.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._requests: deque[conversation_pb2.ConverseRequest] = deque()
        self._played: dict[int, float] = {}
        self._closed = False
        self._changed = asyncio.Event()

    def put_nowait(self, request: conversation_pb2.ConverseRequest) -> None:
        """Adds a request.

        Raises:
            asyncio.QueueFull: as many as may wait do so.
        """
        if len(self._requests) >= self._capacity:
            raise asyncio.QueueFull
        self._requests.append(request)
        self._changed.set()

    def report_played(self, turn: int, position_s: float) -> None:
        """Reports how far the reply of `turn` has been played; replaces a report of it that waits."""
        self._played[turn] = position_s
        self._changed.set()

    def close(self) -> None:
        """Ends the requests after those that wait."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[conversation_pb2.ConverseRequest]:
        while True:
            if self._played:
                turn = next(iter(self._played))
                played = conversation_pb2.Played(turn=turn, position=duration(self._played.pop(turn)))
                yield conversation_pb2.ConverseRequest(played=played)
            elif self._requests:
                yield self._requests.popleft()
            elif self._closed:
                return
            else:
                self._changed.clear()
                await self._changed.wait()
