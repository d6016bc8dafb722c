"""The user's spoken turns, from the events of the speech-to-text streams that heard them."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from oviya.durations import duration, seconds
from oviya.errors import OviyaError
from oviya.v1 import common_pb2, stt_pb2
from services.gateway.turn.replay_buffer import ReplayBuffer
from services.gateway.turn.utterance import Utterance


class SttListener(Protocol):
    """Receives what speech-to-text recognizes."""

    def new_turn(self) -> int:
        """Returns the number of a turn that begins."""
        ...

    async def on_speech_started(self, turn: int, started: stt_pb2.SpeechStarted) -> None:
        """Called when a turn begins; times are the session's."""
        ...

    async def on_partial(self, turn: int, partial: stt_pb2.Transcript) -> None:
        """Called with the words of the running turn so far."""
        ...

    async def on_speech_stopped(self) -> None:
        """Called when the user fell silent and may go on."""
        ...

    async def on_eager_end_of_turn(self, turn: int, likely: stt_pb2.Transcript) -> None:
        """Called when the running turn is probably over, with its words so far.

        `on_turn_ended` follows if it is, `on_turn_resumed` if it is not.
        """
        ...

    async def on_turn_resumed(self) -> None:
        """Called when the user goes on after `on_speech_stopped`."""
        ...

    async def on_turn_ended(self, final: stt_pb2.Transcript, ended: stt_pb2.TurnEnded, utterance: Utterance) -> None:
        """Called when a turn is over."""
        ...

    async def on_turn_failed(self, turn: int, error: OviyaError) -> None:
        """Called when the words of a turn cannot be recognized."""
        ...

    async def on_stt_unavailable(self, error: OviyaError) -> None:
        """Called when speech-to-text is unavailable for the time being."""
        ...


class SttTurns:
    """Numbers the turns, and puts events that count from the start of a stream into the session's time.

    A turn may span several streams: a new one takes over when a stream breaks.

    Attributes:
        running: number of the turn that is being spoken; None between turns.
        end_requested_at: when the caller last asked for the end of the turn, in loop time.
        finished_at: when the sound ended; None before.
    """

    def __init__(self, listener: SttListener, buffer: ReplayBuffer, audio_format: common_pb2.AudioFormat) -> None:
        self._listener = listener
        self._buffer = buffer
        self._format = audio_format
        self.running: int | None = None
        self.end_requested_at = 0.0
        self.finished_at: float | None = None
        self._start_s = 0.0
        self._final: stt_pb2.Transcript | None = None
        self._final_at = 0.0

    async def on_message(self, message: stt_pb2.TranscribeResponse, origin_s: float) -> None:
        """Passes an event on.

        Args:
            message: the event.
            origin_s: position of the stream's start in the session's sound, in seconds.
        """
        kind = message.WhichOneof("event")
        if self.running is None:
            self.running = self._listener.new_turn()
            started = message.speech_started if kind == "speech_started" else stt_pb2.SpeechStarted()
            _shift(started.start, origin_s)
            self._start_s = seconds(started.start)
            await self._listener.on_speech_started(self.running, started)
        match kind:
            case "partial":
                await self._listener.on_partial(self.running, message.partial)
            case "speech_stopped":
                await self._listener.on_speech_stopped()
            case "likely_end":
                await self._listener.on_eager_end_of_turn(self.running, message.likely_end)
            case "resumed":
                await self._listener.on_turn_resumed()
            case "final":  # passed on with the end of the turn, which follows: the stream may break between them
                self._final, self._final_at = message.final, asyncio.get_running_loop().time()
                for word in message.final.words:
                    _shift(word.start, origin_s)
                    _shift(word.end, origin_s)
            case "turn_ended":
                await self._end(self.running, message.turn_ended, seconds(message.at) + origin_s, origin_s)

    def forget_final(self) -> None:
        """Drops the final transcript of a stream that broke before the end of the turn: the next one sends its own."""
        self._final = None

    async def fail(self, error: OviyaError) -> None:
        """Fails the running turn; at the end of the sound a new one, if none is running."""
        if self.running is not None or self.finished_at is not None:
            turn, self.running = self._listener.new_turn() if self.running is None else self.running, None
            await self._listener.on_turn_failed(turn, error)

    async def _end(self, turn: int, ended: stt_pb2.TurnEnded, decided_s: float, origin_s: float) -> None:
        """Ends the running turn, which was decided by the sound at `decided_s` seconds."""
        final, self.running, self._final = self._final or stt_pb2.Transcript(), None, None
        _shift(ended.speech_end, origin_s)
        speech_end_s = seconds(ended.speech_end)
        ended_at, decided_at = self._buffer.time_of(speech_end_s), self._buffer.time_of(decided_s)
        if ended.reason == stt_pb2.TURN_END_REASON_REQUESTED:
            decided_at = self.end_requested_at
        elif ended.reason == stt_pb2.TURN_END_REASON_STREAM_END and self.finished_at is not None:
            decided_at = self.finished_at
        pcm = self._buffer.between(self._start_s, speech_end_s)
        self._buffer.forget_sent(decided_s)
        utterance = Utterance(
            turn,
            final.text,
            typed=False,
            ended_at=ended_at,
            sound=common_pb2.Audio(format=self._format, pcm=pcm),
            decided_at=max(decided_at, ended_at),
            final_at=self._final_at,
            language=final.language,
        )
        await self._listener.on_turn_ended(final, ended, utterance)


def _shift(time: Any, origin_s: float) -> None:
    """Moves a duration that counts from a stream's start to the session's."""
    if origin_s:
        time.CopyFrom(duration(seconds(time) + origin_s))
