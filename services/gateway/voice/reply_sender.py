"""Sends a reply at the pace of playback; can be paused, and go on from an earlier position."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from oviya.audio.pcm import Pcm, decode_pcm
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.voice.playback import Playback
from services.gateway.voice.segment import ReplyAudio, Send

KEEP_S = 10.0
"""Seconds of played sound that are kept, so that a paused reply can go on from the start of a word."""

GRAIN_S = 0.001
"""Times shorter than this, in seconds, are not waited for."""


class PlayedListener(Protocol):
    """Learns what the caller plays and when, in loop time."""

    def add_played(self, samples: Pcm, rate_hz: int, at: float) -> None:
        """Called with sound that is played from `at` on."""
        ...

    def cut_played(self, at: float) -> None:
        """Called when what was to be played after `at` is dropped."""
        ...


@dataclass(frozen=True)
class Part:
    """A piece of the reply.

    Args:
        message: sound, or the sentence that begins with the next sound.
        start_s: position in the reply's sound, in seconds.
        length_s: length in seconds; 0: no sound.
        on_sent: called each time that it is sent.
    """

    message: common_pb2.Audio | conversation_pb2.ReplySentence
    start_s: float
    length_s: float
    on_sent: Callable[[], None] | None

    @property
    def end_s(self) -> float:
        """Position of its end."""
        return self.start_s + self.length_s


class ReplySender:
    """Sends one reply.  Positions are seconds of the reply's sound.

    Args:
        playback: the caller's playback, to which replies are added one after the other.
        send: takes the events.
        held: start paused.
        listener: learns what is played; None: nobody does.
    """

    def __init__(
        self, playback: Playback, send: Send, *, held: bool = False, listener: PlayedListener | None = None
    ) -> None:
        self._playback, self._send, self._listener = playback, send, listener
        self._parts: deque[Part] = deque()  # what was sent in the last seconds, and what is to be sent
        self._next = 0  # index of the first part that is to be sent
        self._end_s = 0.0
        self._running, self._paused = asyncio.Event(), asyncio.Event()  # one of them is set
        (self._paused if held else self._running).set()
        self._base_s: float | None = None  # position of the reply in the session's sound
        self._follows = False  # whether the next sound should follow other sound without a gap
        self.sent_s = 0.0
        """Seconds of sound that have been sent and not taken back."""
        self.first_sent_at: float | None = None
        """When the first sound was sent, in loop time; None: none has been."""

    @property
    def is_paused(self) -> bool:
        """Whether nothing is sent until `resume`."""
        return not self._running.is_set()

    @property
    def position_s(self) -> float:
        """Position up to which the caller has played."""
        if self._base_s is None:
            return 0.0
        return min(max(0.0, self._playback.position_s - self._base_s), self.sent_s)

    @property
    def made_s(self) -> float:
        """Seconds of sound that were given to `push`."""
        return self._end_s

    async def push(
        self,
        message: common_pb2.Audio | conversation_pb2.ReplySentence,
        length_s: float = 0.0,
        on_sent: Callable[[], None] | None = None,
    ) -> None:
        """Adds a piece, and waits until it has been sent for the first time.

        Args:
            message: sound, or the sentence that begins with the next sound.
            length_s: length of the sound in seconds.
            on_sent: called each time that the piece is sent.
        """
        self._parts.append(Part(message, self._end_s, length_s, on_sent))
        self._end_s += length_s
        await self._send_all()

    async def finish(self) -> None:
        """Waits until everything has been sent and, where that is known, played."""
        while True:
            await self._send_all()
            if (left_s := self.sent_s - self.position_s) < GRAIN_S and not self.is_paused:
                return
            await self._wait(left_s)

    def report(self, position_s: float) -> None:
        """Takes the position that the caller reports."""
        if self._base_s is not None:
            self._playback.report(self._base_s + min(position_s, self.sent_s))

    def pause(self) -> float:
        """Sends nothing more, and drops what the caller has not played; returns the position where playback stops."""
        position_s = self.position_s
        if self._running.is_set():
            self._running.clear()
            self._paused.set()
            if self._base_s is not None and self.sent_s > position_s:
                self._playback.cut()
                if self._listener is not None:
                    self._listener.cut_played(asyncio.get_running_loop().time())
            self.sent_s = position_s
        return position_s

    def resume(self, position_s: float) -> float:
        """Goes on at a position that is not after that of the pause; returns the start of the piece that holds it."""
        while self._next and self._parts[self._next - 1].end_s > position_s:
            self._next -= 1
        if self._next and self._parts[self._next - 1].start_s >= position_s:
            self._next -= 1  # the sentence that begins here is announced again
        start_s = self._parts[self._next].start_s if self._next < len(self._parts) else self._end_s
        self.sent_s = start_s
        if self._base_s is not None:
            self._playback.rewind(self._base_s + start_s)
        self._follows = False
        self._paused.clear()
        self._running.set()
        return start_s

    async def _send_all(self) -> None:
        """Sends every piece that has not been sent."""
        while self._next < len(self._parts):
            if self.is_paused:  # asked again after the wait: it may have been paused again since it was resumed
                await self._running.wait()
                continue
            part = self._parts[self._next]
            if (wait_s := self._playback.wait_s(part.length_s)) >= GRAIN_S:
                await self._wait(wait_s)
                continue
            self._next += 1
            self._forget_old()
            if part.length_s:
                self._begin()
                self._playback.add(part.length_s, follows=self._follows)
                self._follows = True
                self.sent_s = part.end_s
                self._tell(part)
            if part.on_sent is not None:
                part.on_sent()
            message = part.message
            await self._send(ReplyAudio(message, part.start_s) if isinstance(message, common_pb2.Audio) else message)

    def _tell(self, part: Part) -> None:
        """Tells the listener when the sound that was just sent is played."""
        if self._listener is not None and self._playback.paced and isinstance(part.message, common_pb2.Audio):
            audio_format = part.message.format
            samples = decode_pcm(part.message.pcm, audio_format.encoding)
            self._listener.add_played(samples, audio_format.sample_rate_hz, self._playback.ends_at - part.length_s)

    def _begin(self) -> None:
        if self._base_s is None:
            self._base_s = self._playback.sent_s
            self.first_sent_at = asyncio.get_running_loop().time()

    async def _wait(self, seconds: float) -> None:
        """Waits for some time, or until the reply is paused; then until it goes on."""
        try:
            async with asyncio.timeout(seconds):
                await self._paused.wait()
        except TimeoutError:
            return
        await self._running.wait()

    def _forget_old(self) -> None:
        keep_from_s = self.position_s - KEEP_S
        while self._next > 1 and self._parts[0].end_s < keep_from_s:
            self._parts.popleft()
            self._next -= 1
