"""Encodes what the user says with Mimi while it is heard, for the voice's context."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from grpc import aio

from oviya.errors import OviyaError, Unavailable
from oviya.rvq import FRAME_S
from oviya.streams import wait_for
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, mimi_pb2
from oviya.writing import half_close, write
from services.gateway import metrics
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh, read_fed
from services.gateway.upstream.readiness import Readiness

MAX_TURN_S = 10.0
"""Longest turn whose sound is used, in seconds: 125 frames.  A context has room for 2,048 positions with CSM-1B and for
1,024 with the demo voice, and the sound of a long turn would push out the sentences that keep the voice steady.  A part
of the sound would need exactly its words as text, so a longer turn is in the context as text only."""
MESSAGE_S = 2 * FRAME_S
"""Seconds of sound in a message.  Mimi encodes two frames in one step in two thirds of the time that they take one by
one, and the speech before an eager end of turn, 0.25 s of silence or more, has been sent by then."""
FINISH_S = 2.0
"""Longest wait in seconds for the last frames of a turn."""
CALL_S = 60.0
"""Deadline of a call in seconds: that of the longest turn, where the caller's sound comes late."""


class UserSound:
    """Encodes the turns of one session's user, one after the other, with an Encode call for each.

    `begin`, `push` and `drop` return at once.  The sound of a turn is not available if Mimi is busy, unavailable or
    slow, or if the turn is longer than `MAX_TURN_S`.  `close` must be called.

    Args:
        readiness: whether CSM speaks, and how many codebooks its frames have.
        audio_format: format of the caller's sound.
        on_degraded: called by `finish` with the problem, the first time that Mimi fails.
    """

    def __init__(
        self,
        mesh: Mesh,
        readiness: Readiness,
        settings: GatewaySettings,
        audio_format: common_pb2.AudioFormat,
        on_degraded: Callable[[str], Awaitable[None]],
    ) -> None:
        self._mesh = mesh
        self._readiness = readiness
        self._settings = settings
        self._format = audio_format
        self._on_degraded = on_degraded
        self._turn: int | None = None
        self._encoding: _Encoding | None = None
        self._tasks: set[asyncio.Task[common_pb2.RvqFrames]] = set()
        self._failed = False

    def begin(self, turn: int, pcm: bytes) -> None:
        """Begins a turn, and drops the one before if it was not finished.

        Does nothing else where CSM does not speak or has no context.

        Args:
            turn: number of the turn.
            pcm: its sound so far, whole samples in the caller's format.
        """
        if self._turn is not None:
            self.drop(self._turn)
        if not self._settings.voice_context_turns or self._readiness.voice_problem() is not None:
            return
        self._turn, self._encoding = turn, _Encoding(self._mesh, self._format, self._readiness.codebooks)
        self._tasks.add(self._encoding.task)
        self._encoding.task.add_done_callback(self._tasks.discard)
        self.push(pcm)

    def push(self, pcm: bytes) -> None:
        """Adds sound to the running turn; without one, nothing happens."""
        if self._encoding is not None:
            self._encoding.push(pcm)

    def so_far(self, turn: int) -> common_pb2.RvqFrames | None:
        """Returns the frames of the running turn that have come, for a reply that is made before the turn is certainly
        over.  None: there are none, or another turn is running."""
        if (
            self._turn != turn
            or self._encoding is None
            or self._encoding.is_too_long
            or not self._encoding.frames.codes
        ):
            return None
        frames = common_pb2.RvqFrames()
        frames.CopyFrom(self._encoding.frames)
        return frames

    async def finish(self, turn: int, speech_s: float | None = None) -> common_pb2.RvqFrames | None:
        """Ends the running turn and waits for its frames, at most `FINISH_S`.

        Args:
            turn: number of the turn.
            speech_s: seconds from the beginning of its sound to the end of the speech.  Frames after that are left out;
                None: there are none.

        Returns:
            The frames; None: the sound is not available.
        """
        if (encoding := self._take(turn)) is None:
            return None
        if encoding.is_too_long:
            metrics.USER_SOUNDS.labels("too_long").inc()
            return None
        try:
            frames = await wait_for(encoding.finish(), FINISH_S, f"mimi: no frames came for {FINISH_S:g} s")
        except OviyaError as error:
            metrics.USER_SOUNDS.labels("failed").inc()
            if not self._failed:
                self._failed = True
                await self._on_degraded(f"{error}; what the user says is context for the voice as text only")
            return None
        metrics.USER_SOUNDS.labels("encoded").inc()
        if speech_s is not None:
            del frames.codes[math.ceil(speech_s / FRAME_S) * frames.codebooks :]
        return frames if frames.codes else None

    def drop(self, turn: int) -> None:
        """Drops the running turn, whose speech was no part of the conversation."""
        if (encoding := self._take(turn)) is not None:
            encoding.task.cancel()
            metrics.USER_SOUNDS.labels("dropped").inc()

    async def close(self) -> None:
        """Drops everything; returns when no task is left."""
        self._turn = self._encoding = None
        await cancel_and_wait(*self._tasks)

    def _take(self, turn: int) -> _Encoding | None:
        """Returns the encoding of the running turn, which ends; None: another turn is running, or none."""
        if self._turn != turn:
            return None
        encoding, self._turn, self._encoding = self._encoding, None, None
        return encoding


class _Encoding:
    """One Encode call.

    Attributes:
        frames: what has come.
        task: ends with all frames.
        is_too_long: whether the turn has become longer than `MAX_TURN_S`, and was given up.
    """

    def __init__(self, mesh: Mesh, audio_format: common_pb2.AudioFormat, codebooks: int) -> None:
        self._mesh = mesh
        self._config = mimi_pb2.EncodeConfig(format=audio_format, codebooks=codebooks)
        sample_bytes = 4 if audio_format.encoding == common_pb2.AUDIO_ENCODING_PCM_F32LE else 2
        self._message_bytes = round(MESSAGE_S * audio_format.sample_rate_hz) * sample_bytes
        self._bytes_left = round(MAX_TURN_S * audio_format.sample_rate_hz) * sample_bytes
        self._unsent = bytearray()
        self._sent_bytes = 0
        self._ended = False
        self._changed = asyncio.Event()
        self.is_too_long = False
        self.frames = common_pb2.RvqFrames()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(_retrieve_exception)

    def push(self, pcm: bytes) -> None:
        """Adds sound."""
        self._bytes_left -= len(pcm)
        if self._bytes_left < 0:
            self.is_too_long = True
            self._unsent.clear()
            self.task.cancel()
        elif not self.task.done():
            self._unsent += pcm
            self._changed.set()

    async def finish(self) -> common_pb2.RvqFrames:
        """Ends the sound and returns all frames; cancelling this ends the call.

        Raises:
            OviyaError: Mimi failed.
        """
        self._ended = True
        self._changed.set()
        return await self.task

    async def _run(self) -> common_pb2.RvqFrames:
        call = self._mesh.mimi.Encode(timeout=CALL_S)
        feeding = asyncio.create_task(self._feed(call))
        try:
            while (response := await read_fed(call, feeding, "mimi")) is not aio.EOF:
                self.frames.codebooks = response.frames.codebooks
                self.frames.codes.extend(response.frames.codes)
        finally:
            call.cancel()
            await cancel_and_wait(feeding)
        # A call that gRPC repeats because Mimi was busy may lose a message: sound and text would not match any more.
        messages = self._sent_bytes / self._message_bytes
        complete = len(self.frames.codes) >= (messages * MESSAGE_S / FRAME_S - 1) * self.frames.codebooks
        if not self._ended or not self.frames.codes or not complete:
            raise Unavailable("mimi", "did not encode all of the user's sound")
        return self.frames

    async def _feed(self, call: Any) -> None:
        """Writes the sound in messages of `MESSAGE_S`."""
        if not await write(call, mimi_pb2.EncodeRequest(config=self._config)):
            return
        while True:
            while len(self._unsent) >= self._message_bytes or (self._ended and self._unsent):
                pcm = bytes(self._unsent[: self._message_bytes])
                del self._unsent[: self._message_bytes]
                self._sent_bytes += len(pcm)
                if not await write(call, mimi_pb2.EncodeRequest(audio=pcm)):
                    return
            if self._ended:
                await half_close(call)
                return
            self._changed.clear()
            await self._changed.wait()


def _retrieve_exception(task: asyncio.Task[common_pb2.RvqFrames]) -> None:
    """Retrieves the exception of a task that nobody waits for, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
