"""The reply's audio track to the browser: plays queued sound in order, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.packet import Packet

from oviya.audio.pcm import Pcm
from services.gateway.transport.webrtc.opus_stream import SILENT_FRAMES, OpusStream
from services.gateway.transport.webrtc.playout_queue import (
    FRAME_S,
    FRAME_SAMPLES,
    RATE_HZ,
    Marker,
    Piece,
    PlayoutQueue,
)

CAPACITY_S = 10.0
"""Seconds of sound that may be queued; then `put` blocks."""
_RESYNC_S = 0.200  # when later than this (a suspended machine), the pace restarts instead of sending a burst


class Playout(MediaStreamTrack):
    """An audio track for aiortc that yields a packet for each 20 ms of sound, and few while nothing is queued.

    Args:
        on_played: called with a turn and a position in seconds, as `PlayoutQueue` says.
    """

    kind = "audio"

    def __init__(self, on_played: Callable[[int, float], object]) -> None:
        super().__init__()
        self._queue = PlayoutQueue(on_played)
        self._opus = OpusStream()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._wake = asyncio.Event()  # something is to be played, or the track ends
        self._next_at: float | None = None  # when the packet of `_timestamp` is due
        self._timestamp = 0

    @property
    def queued_s(self) -> float:
        """Seconds of sound in the queue."""
        return self._queue.queued_s

    async def put(self, samples: Pcm, turn: int, position_s: float) -> None:
        """Queues sound; blocks while `CAPACITY_S` are queued.

        Args:
            samples: shape (samples,), 48 kHz.
            turn: the reply's turn.
            position_s: position in the reply's sound at which `samples` begin, in seconds.
        """
        await self._room.wait()
        if len(samples) and self.readyState == "live":
            self._queue.put(Piece(samples, turn, round(position_s * RATE_HZ)))
            self._update()

    def mark(self, callback: Marker) -> None:
        """Calls `callback` when everything queued so far has been played and the next sound begins, or `end_reply` is
        called; never, if that is cut."""
        if self.readyState == "live":
            self._queue.mark(callback)
            self._update()

    def end_reply(self) -> None:
        """Marks the reply as complete, so that the following silence is not concealed or counted as a gap."""
        self._queue.end_reply()

    def fade_out(self) -> None:
        """Cuts the reply: it fades out within `FADE_S`; the rest of its sound and its markers are dropped."""
        self._queue.fade_out()
        self._update()

    def after_fade(self, callback: Marker) -> None:
        """Calls `callback` when a reply that was cut has faded out; at once if none is fading."""
        self._queue.after_fade(callback)

    async def drained(self) -> None:
        """Waits until everything queued has been played."""
        await self._idle.wait()

    def stop(self) -> None:
        """Ends the track and releases those who wait for it."""
        super().stop()
        self._queue.clear()
        self._update()
        self._wake.set()

    async def recv(self) -> Packet:
        """Returns the next packet when it is due; aiortc calls this."""
        await self._wait_until_due()
        if self.readyState != "live":
            raise MediaStreamError
        packet = self._opus.encode(self._queue.next_samples(), self._timestamp)
        self._advance(FRAME_SAMPLES)
        self._update()
        return packet

    async def _wait_until_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._next_at is None:
            self._next_at = now
        elif now - self._next_at > _RESYNC_S:
            self._advance(round((now - self._next_at) * RATE_HZ))
        if self._opus.discontinuous and not self._wake.is_set():
            try:
                async with asyncio.timeout_at(self._next_at + (SILENT_FRAMES - 1) * FRAME_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._advance(max(0, round((loop.time() - self._next_at) * RATE_HZ)))
        if (wait_s := self._next_at - loop.time()) > 0:
            await asyncio.sleep(wait_s)

    def _advance(self, samples: int) -> None:
        """Moves on to the packet that is due `samples` later."""
        assert self._next_at is not None
        self._timestamp += samples
        self._next_at += samples / RATE_HZ

    def _update(self) -> None:
        """Sets the events by what is queued."""
        for event, state in (
            (self._room, self.queued_s < CAPACITY_S),
            (self._idle, self._queue.idle),
            (self._wake, not self._queue.idle),
        ):
            event.set() if state else event.clear()
