"""A session's speech-to-text stream, which is opened again when it breaks without losing what was said."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from grpc import aio

from oviya.errors import InvalidInput, OviyaError, Timeout, Unavailable, Unsupported
from oviya.streams import wait_for
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, stt_pb2
from oviya.writing import half_close, write
from services.gateway import metrics
from services.gateway.settings import GatewaySettings
from services.gateway.turn.replay_buffer import Chunk, ReplayBuffer
from services.gateway.turn.stt_turns import SttListener, SttTurns
from services.gateway.upstream.clients import Mesh, read_fed

log = structlog.get_logger()

KEEP_S = 3.0
"""Seconds of sound before the start of speech that are sent again to a new stream: more than speech detection looks
back."""
MAX_BREAKS = 2
"""Streams that may break on the sound of one turn; it is assumed that a third one would break as well."""
STEADY_S = 5.0
"""A stream that lasted this long, in seconds, has worked: its end between turns is not reported."""
REFUSALS = (InvalidInput, Unsupported)
"""Errors that would occur again with the same sound."""


class SttStream:
    """Feeds a session's sound to speech-to-text.

    A stream is opened with the first sound; typed conversations need none.  If it breaks, the sound since the start of
    the running turn (between turns, the last 3 s) is sent to a new one, so that speech survives a restart of the
    service.  The turn fails if no stream works within `stt_stall_s`, or if its sound breaks one stream after another.
    """

    def __init__(
        self,
        mesh: Mesh,
        settings: GatewaySettings,
        audio_format: common_pb2.AudioFormat,
        session_id: str,
        listener: SttListener,
    ) -> None:
        self._mesh = mesh
        self._settings = settings
        self._config = stt_pb2.TranscribeConfig(format=audio_format, session_id=session_id)
        self._listener = listener
        sample_bytes = 4 if audio_format.encoding == common_pb2.AUDIO_ENCODING_PCM_F32LE else 2
        self._buffer = ReplayBuffer(sample_bytes, audio_format.sample_rate_hz, settings.max_waiting_audio_s)
        self._turns = SttTurns(listener, self._buffer, audio_format)
        self._changed = asyncio.Event()  # there is sound, or the end of a turn or of the sound was requested
        self._broken_since: float | None = None
        self._breaks = 0  # streams that worked and then broke on the running turn's sound
        self._answered = False  # by the open stream
        self._answer_by: float | None = None  # loop time by which the open stream must answer
        self._timeout: asyncio.Timeout | None = None

    def push(self, pcm: bytes) -> None:
        """Adds sound: whole samples, checked."""
        dropped_s = self._buffer.add_sound(pcm, _now())
        if dropped_s:
            metrics.LOST_AUDIO.inc(dropped_s)
        self._changed.set()

    def sound_since(self, start_s: float) -> bytes:
        """Returns the newest sound, from a position in the session's sound in seconds on."""
        return self._buffer.since(start_s)

    def end_turn(self) -> None:
        """Ends the user's turn without waiting for silence."""
        self._turns.end_requested_at = _now()
        self._buffer.add_mark()
        self._changed.set()

    def finish(self) -> None:
        """Ends the sound.  `run` returns after the last turn."""
        self._turns.finished_at = _now()
        self._changed.set()

    async def run(self) -> None:
        """Transcribes until `finish`."""
        while True:
            while not self._buffer.has_unsent and self._turns.running is None:
                if self._finished:
                    return
                await self._wait_for_change()
            opened_at = _now()
            try:
                await self._transcribe()
            except OviyaError as error:
                await self._on_break(error, worked=_now() - opened_at > STEADY_S or self._answered)
            else:  # the sound has ended, and all of it was transcribed
                if self._turns.running is not None:
                    await self._give_up(Unavailable("stt", "ended without a final transcript"))
                return

    @property
    def _finished(self) -> bool:
        return self._turns.finished_at is not None

    async def _transcribe(self) -> None:
        """Uses one stream to its end."""
        origin_s = self._buffer.rewind()
        self._answered, self._answer_by = False, None
        call = self._mesh.stt.Transcribe(timeout=self._settings.session_max_s + self._settings.stt_stall_s)
        writing = asyncio.create_task(self._write(call))
        try:
            while True:
                async with asyncio.timeout_at(self._answer_by) as timeout:
                    self._timeout = timeout
                    try:
                        message = await read_fed(call, writing, "stt")
                    finally:
                        self._timeout = None
                if message is aio.EOF:
                    if not self._finished:
                        raise Unavailable("stt", "ended the stream")
                    return
                self._answered = True
                if message.WhichOneof("event") == "turn_ended":
                    self._broken_since, self._breaks = None, 0
                    self._answer_by = None
                    if self._finished:
                        self._expect_answer()  # the end of the stream
                await self._turns.on_message(message, origin_s)
                if self._answer_by is not None:
                    self._expect_answer()
        except TimeoutError as error:
            raise Timeout(f"stt: no answer for {self._settings.stt_stall_s:g} s") from error
        finally:
            call.cancel()
            await cancel_and_wait(writing)

    async def _write(self, call: Any) -> None:
        """Sends buffered sound until the call ends; its reader gets the reason.

        If sending stalls, the call is cancelled, so that its reader finds the reason in this task.
        """
        try:
            is_open = await write(call, stt_pb2.TranscribeRequest(config=self._config))
            while is_open:
                chunk = self._buffer.next_unsent(flush=self._finished)
                if chunk is not None:
                    is_open = await self._write_chunk(call, chunk)
                elif self._finished:
                    self._expect_answer()
                    await half_close(call)
                    return
                else:
                    await self._wait_for_change()
        except BaseException:
            call.cancel()
            raise

    async def _write_chunk(self, call: Any, chunk: Chunk) -> bool:
        request = (
            stt_pb2.TranscribeRequest(end_turn=stt_pb2.EndTurn())
            if chunk.data is None
            else stt_pb2.TranscribeRequest(audio=chunk.data)
        )
        stall_s = self._settings.stt_stall_s
        is_open = await wait_for(write(call, request), stall_s, f"stt: took no sound for {stall_s:g} s")
        if self._turns.running is None:
            self._buffer.forget_older_than(KEEP_S)
        elif chunk.data is None:
            self._expect_answer()
        return is_open

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _expect_answer(self) -> None:
        """Starts the time-out for the next answer."""
        self._answer_by = _now() + self._settings.stt_stall_s
        if self._timeout is not None:
            self._timeout.reschedule(self._answer_by)

    async def _on_break(self, error: OviyaError, *, worked: bool) -> None:
        """Decides what to do with the sound after a stream broke, and waits before the next one."""
        now = _now()
        self._turns.forget_final()
        in_turn, refused = self._turns.running is not None, isinstance(error, REFUSALS)
        if worked and not in_turn and not self._finished and not refused:
            self._buffer.forget_older_than(0)  # between turns: a limit of the service, or its restart
            log.info("speech-to-text ended a stream", error=type(error).__name__)
            return
        if self._broken_since is None:  # once, however often the next streams fail
            log.warning("speech-to-text broke off", error=type(error).__name__, in_turn=in_turn)
        self._broken_since = self._broken_since or now
        self._breaks += worked
        await self._listener.on_stt_unavailable(error)
        if now - self._broken_since > self._settings.stt_stall_s or self._breaks > MAX_BREAKS or refused:
            await self._give_up(error)
        await asyncio.sleep(self._settings.stt_retry_s)

    async def _give_up(self, error: OviyaError) -> None:
        """Drops the sound that could not be transcribed, and fails its turn."""
        await self._turns.fail(error)
        self._broken_since, self._breaks = None, 0
        self._buffer.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
