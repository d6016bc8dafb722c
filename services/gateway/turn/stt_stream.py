"""The session's ears: one speech-to-text stream that is opened again when it breaks, without losing what was said."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol

import structlog
from grpc import aio

from oviya.durations import duration, seconds
from oviya.errors import InvalidInput, OviyaError, Timeout, Unavailable, Unsupported
from oviya.v1 import common_pb2, stt_pb2
from oviya.writing import half_close, write
from services.gateway import metrics
from services.gateway.settings import GatewaySettings
from services.gateway.turn.replay_buffer import Piece, Tape
from services.gateway.turn.turn_handler import Utterance
from services.gateway.upstream.clients import Mesh, read_fed

log = structlog.get_logger()

KEEP_S = 3.0
"""Sound before the start of speech that is sent again to a new stream: more than a detector of speech looks back."""
MAX_BREAKS = 2
"""Streams that may break on one turn's sound: a third would break as well."""
STEADY_S = 5.0
"""A stream that lasted this long worked: when it ends between turns, nobody needs to be told."""
REFUSALS = (InvalidInput, Unsupported)
"""Failures that the same sound would meet again."""

HeardEvent = stt_pb2.SpeechStarted | stt_pb2.Transcript | stt_pb2.TurnEnded


class Listener(Protocol):
    """Who is told what was heard."""

    def new_turn(self) -> int:
        """Numbers a turn."""
        ...

    async def heard(self, turn: int, kind: str, event: HeardEvent) -> None:
        """Takes an event; `kind` is its name in ConverseResponse: speech_started, partial, final or turn_ended."""
        ...

    async def said(self, utterance: Utterance) -> None:
        """Takes what the user said in a turn that is over."""
        ...

    async def likely_said(self, text: str) -> None:
        """Learns that the running turn is probably over, with these words: `said` follows with them, or `resumed`."""
        ...

    async def resumed(self) -> None:
        """Learns that the turn goes on after all."""
        ...

    async def lost(self, turn: int, error: OviyaError) -> None:
        """Learns that what was said in a turn cannot be known."""
        ...

    async def deaf(self, error: OviyaError) -> None:
        """Learns that nothing is heard for the time being."""
        ...


class Hearing:
    """Feeds a session's sound to speech-to-text.

    A stream is opened with the first sound, so that typed conversations need none.  When it breaks, the sound since
    the running turn began (or the last 3 s) goes to a new one: what was being said survives a restart of the service.
    After `stt_stall_s` without one, or when the same sound breaks stream after stream, the turn is given up and told.

    Args:
        mesh: the services.
        settings: time-outs and how much sound is kept.
        audio_format: format of the sound.
        session_id: name of the session.
        listener: who is told.
    """

    def __init__(
        self,
        mesh: Mesh,
        settings: GatewaySettings,
        audio_format: common_pb2.AudioFormat,
        session_id: str,
        listener: Listener,
    ) -> None:
        self._mesh = mesh
        self._settings = settings
        self._config = stt_pb2.TranscribeConfig(format=audio_format, session_id=session_id)
        self._listener = listener
        sample_bytes = 4 if audio_format.encoding == common_pb2.AUDIO_ENCODING_PCM_F32LE else 2
        self._tape = Tape(sample_bytes, audio_format.sample_rate_hz, settings.max_waiting_audio_s)
        self._news = asyncio.Event()
        self._finished_at: float | None = None
        self._end_asked_at = 0.0
        self._turn: int | None = None  # the turn that is being spoken
        self._turn_start_s = 0.0
        self._final: stt_pb2.Transcript | None = None
        self._final_at = 0.0
        self._broken_since: float | None = None
        self._answered = False  # by the stream that is open
        self._breaks = 0  # streams that worked and then broke on the running turn's sound
        self._patience: asyncio.Timeout | None = None
        self._answer_by: float | None = None

    def hear(self, pcm: bytes) -> None:
        """Takes sound: whole samples, checked."""
        lost_s = self._tape.add_sound(pcm, _now())
        if lost_s:
            metrics.LOST_AUDIO.inc(lost_s)
        self._news.set()

    def end_turn(self) -> None:
        """Ends the user's turn without waiting for silence."""
        self._end_asked_at = _now()
        self._tape.add_mark()
        self._news.set()

    def finish(self) -> None:
        """Ends the sound: `run` returns once the last turn is told."""
        self._finished_at = _now()
        self._news.set()

    async def run(self) -> None:
        """Hears until `finish`."""
        while True:
            while not self._tape.has_unsent and self._turn is None:
                if self._finished_at is not None:
                    return
                await self._wait_for_news()
            opened_at = _now()
            try:
                await self._listen()
            except OviyaError as error:
                await self._broke(error, worked=_now() - opened_at > STEADY_S or self._answered)
            else:  # the sound was finished, and all of it was heard
                if self._turn is not None:
                    await self._give_up(Unavailable("stt", "ended without a final transcript"))
                return

    async def _listen(self) -> None:
        """Uses one stream to its end."""
        origin_s = self._tape.rewind()
        self._answered, self._answer_by = False, None
        call = self._mesh.stt.Transcribe(timeout=self._settings.session_max_s + self._settings.stt_stall_s)
        writing = asyncio.create_task(self._write(call))
        try:
            while True:
                async with asyncio.timeout_at(self._answer_by) as patience:
                    self._patience = patience
                    try:
                        message = await read_fed(call, writing, "stt")
                    finally:
                        self._patience = None
                if message is aio.EOF:
                    if self._finished_at is None:
                        raise Unavailable("stt", "ended the stream")
                    return
                self._answered = True
                await self._take(message, origin_s)
                if self._answer_by is not None:
                    self._expect_answer()
        except TimeoutError as error:
            raise Timeout(f"stt: no answer for {self._settings.stt_stall_s:g} s") from error
        finally:
            call.cancel()
            writing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await writing

    async def _write(self, call: Any) -> None:
        """Sends what is on the tape until the call ends: its reader has the reason.

        The call is cancelled when it stalls, so that its reader finds the reason here.
        """
        try:
            going_on = await write(call, stt_pb2.TranscribeRequest(config=self._config))
            while going_on:
                piece = self._tape.next_unsent(flush=self._finished_at is not None)
                if piece is not None:
                    going_on = await self._write_piece(call, piece)
                elif self._finished_at is not None:
                    self._expect_answer()
                    await half_close(call)
                    return
                else:
                    await self._wait_for_news()
        except BaseException:
            call.cancel()
            raise

    async def _write_piece(self, call: Any, piece: Piece) -> bool:
        request = (
            stt_pb2.TranscribeRequest(end_turn=stt_pb2.EndTurn())
            if piece.data is None
            else stt_pb2.TranscribeRequest(audio=piece.data)
        )
        try:
            async with asyncio.timeout(self._settings.stt_stall_s):
                going_on = await write(call, request)
        except TimeoutError as error:
            raise Timeout(f"stt: took no sound for {self._settings.stt_stall_s:g} s") from error
        if self._turn is None:
            self._tape.forget_older_than(KEEP_S)
        elif piece.data is None:
            self._expect_answer()
        return going_on

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _expect_answer(self) -> None:
        """From now on speech-to-text owes an answer."""
        self._answer_by = _now() + self._settings.stt_stall_s
        if self._patience is not None:
            self._patience.reschedule(self._answer_by)

    async def _take(self, message: stt_pb2.TranscribeResponse, origin_s: float) -> None:
        """Passes on what was heard, in the session's own time and numbers."""
        kind = message.WhichOneof("event")
        if self._turn is None:
            self._turn = self._listener.new_turn()
            started = message.speech_started if kind == "speech_started" else stt_pb2.SpeechStarted()
            _shift(started.start, origin_s)
            self._turn_start_s = seconds(started.start)
            await self._listener.heard(self._turn, "speech_started", started)
        match kind:
            case "partial":
                await self._listener.heard(self._turn, "partial", message.partial)
            case "likely_end":
                await self._listener.likely_said(message.likely_end.text)
            case "resumed":
                await self._listener.resumed()
            case "final":  # told with the end of the turn, which follows: a stream may break between them
                self._final, self._final_at = message.final, _now()
                for word in message.final.words:
                    _shift(word.start, origin_s)
                    _shift(word.end, origin_s)
            case "turn_ended":
                await self._end(message, origin_s)

    async def _end(self, message: stt_pb2.TranscribeResponse, origin_s: float) -> None:
        turn, final, ended = self._turn, self._final or stt_pb2.Transcript(), message.turn_ended
        assert turn is not None
        at_s = seconds(message.at) + origin_s
        ended_at = self._tape.time_of(seconds(ended.speech_end) + origin_s)
        decided_at = self._tape.time_of(at_s)
        if ended.reason == stt_pb2.TURN_END_REASON_REQUESTED:
            decided_at = self._end_asked_at
        elif ended.reason == stt_pb2.TURN_END_REASON_STREAM_END and self._finished_at is not None:
            decided_at = self._finished_at
        self._turn, self._final, self._answer_by = None, None, None
        if self._finished_at is not None:
            self._expect_answer()  # the end of the stream
        self._broken_since, self._breaks = None, 0
        _shift(ended.speech_end, origin_s)
        pcm = self._tape.between(self._turn_start_s, seconds(ended.speech_end))
        self._tape.forget_sent(at_s)
        await self._listener.heard(turn, "final", final)
        await self._listener.heard(turn, "turn_ended", ended)
        await self._listener.said(
            Utterance(
                turn,
                final.text,
                False,
                ended_at,
                sound=common_pb2.Audio(format=self._config.format, pcm=pcm),
                decided_at=max(decided_at, ended_at),
                final_at=self._final_at,
            )
        )

    async def _broke(self, error: OviyaError, *, worked: bool) -> None:
        """Decides what becomes of the sound after a stream broke, and waits before the next one."""
        now = _now()
        self._final = None
        if worked and self._turn is None and self._finished_at is None and not isinstance(error, REFUSALS):
            self._tape.forget_older_than(0)  # between turns: a limit of the service, or its restart
            log.info("speech-to-text ended a stream", error=type(error).__name__)
            return
        if self._broken_since is None:  # once, however often the next streams fail
            log.warning("speech-to-text broke off", error=type(error).__name__, in_turn=self._turn is not None)
        self._broken_since = self._broken_since or now
        self._breaks += worked
        await self._listener.deaf(error)
        given_up = now - self._broken_since > self._settings.stt_stall_s or self._breaks > MAX_BREAKS
        if given_up or isinstance(error, REFUSALS):
            await self._give_up(error)
        await asyncio.sleep(self._settings.stt_retry_s)

    async def _give_up(self, error: OviyaError) -> None:
        """Drops the sound that nobody could hear; what was said in it is lost, and told where something was said."""
        if self._turn is not None or self._finished_at is not None:
            turn = self._listener.new_turn() if self._turn is None else self._turn
            await self._listener.lost(turn, error)
        self._turn, self._broken_since, self._breaks = None, None, 0
        self._tape.clear()


def _shift(time: Any, origin_s: float) -> None:
    """Moves a duration that counts from a stream's start to the session's."""
    if origin_s:
        time.CopyFrom(duration(seconds(time) + origin_s))


def _now() -> float:
    return asyncio.get_running_loop().time()
