"""A simulated user over gRPC: a microphone that never stops, a loudspeaker, and a record of all events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from grpc import aio

from benchmarks.talk_events import EventLog
from benchmarks.talk_loudspeaker import Loudspeaker
from benchmarks.talk_sounds import NOISE, RATE_HZ, Sound
from oviya.audio.pcm import S16LE, Pcm, decode_pcm, encode_pcm
from oviya.audio.resample import Resampler
from oviya.durations import seconds
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2
from oviya.writing import write

EchoCancellation: TypeAlias = "conversation_pb2.EchoCancellation.ValueType"
MESSAGE_S = 0.020
OUTPUT_HZ = 24_000


@dataclass(frozen=True)
class Echo:
    """How the loudspeaker sounds at the microphone.

    Attributes:
        delay_s: how late it arrives, in seconds; at least the length of a message.
        level_db: its level there, relative to the reply's sound.
        room: impulse response of the room at 16 kHz, of unit energy.
    """

    delay_s: float
    level_db: float
    room: Pcm


class EchoPath:
    """Turns what the loudspeaker plays into what the microphone hears, message by message."""

    def __init__(self, echo: Echo, loudspeaker: Loudspeaker, started_s: float) -> None:
        self._loudspeaker, self._room = loudspeaker, echo.room * np.float32(10 ** (echo.level_db / 20))
        self._next = round((started_s - echo.delay_s) * loudspeaker.rate_hz)
        self._resampler = Resampler(loudspeaker.rate_hz, RATE_HZ)
        self._ready = np.zeros(0, np.float32)
        self._tail = np.zeros(len(echo.room) - 1, np.float32)

    def hear(self, count: int) -> Pcm:
        """Returns the next `count` samples at 16 kHz."""
        taken = count * self._loudspeaker.rate_hz // RATE_HZ
        played = self._resampler.push(self._loudspeaker.render(self._next, taken))
        self._next += taken
        self._ready = np.concatenate((self._ready, played))
        direct, self._ready = self._ready[:count], self._ready[count:]
        direct = np.pad(direct, (count - len(direct), 0))  # the resampler's delay, once
        sound = np.convolve(direct, self._room)
        sound[: len(self._tail)] += self._tail
        self._tail = sound[count:]
        return sound[:count].astype(np.float32)


class TalkUser(EventLog):
    """Opens a session, and talks and listens until the context is left.

    Args:
        stub: of ConversationService.
        echo: what comes back from the loudspeaker; None: nothing, as from a headset.
        cancellation: who cancels it.
        seed: of the microphone's noise.
    """

    def __init__(
        self,
        stub: Any,
        *,
        echo: Echo | None = None,
        cancellation: EchoCancellation = conversation_pb2.ECHO_CANCELLATION_GATEWAY,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.loudspeaker = Loudspeaker(OUTPUT_HZ)
        self._stub, self._echo, self._cancellation = stub, echo, cancellation
        self._random = np.random.default_rng(seed)
        self._ahead = np.zeros(0, np.float32)
        self._next_s = 0.0

    async def __aenter__(self) -> Self:
        self._call = self._stub.Converse()
        config = conversation_pb2.ConverseConfig(
            input=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=RATE_HZ),
            output=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=OUTPUT_HZ),
            echo_cancellation=self._cancellation,
        )
        self._listening = asyncio.create_task(self._listen())
        await self._send(config=config)
        await self.wait_for(lambda arrival: arrival.kind == "session_started")
        self._speaking = asyncio.create_task(self._speak())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()
        await cancel_and_wait(self._speaking, self._listening)

    async def type(self, text: str) -> None:
        """Sends a typed turn."""
        await self._send(text=text)

    def say(self, sound: Sound) -> tuple[float, float]:
        """Makes a sound from now on; returns when its first and its last audible sample are recorded."""
        length = max(len(self._ahead), len(sound.samples))
        ahead = np.pad(self._ahead, (0, length - len(self._ahead)))
        ahead[: len(sound.samples)] += sound.samples
        self._ahead = ahead
        return self._next_s + sound.onset_s, self._next_s + sound.end_s

    async def _send(self, **request: Any) -> bool:
        return await write(self._call, conversation_pb2.ConverseRequest(**request))

    async def _speak(self) -> None:
        """Sends a piece of the microphone's sound at the time at which it would be complete."""
        count = round(MESSAGE_S * RATE_HZ)
        started_s = self._next_s = self.now_s
        echo = EchoPath(self._echo, self.loudspeaker, started_s) if self._echo else None
        number = 0
        while True:
            number += 1
            await asyncio.sleep(started_s + number * MESSAGE_S - self.now_s)
            piece = self._random.normal(0, NOISE, count).astype(np.float32)
            said, self._ahead = self._ahead[:count], self._ahead[count:]
            piece[: len(said)] += said
            if echo:
                piece += echo.hear(count)
            self._next_s = started_s + number * MESSAGE_S
            if not await self._send(audio=encode_pcm(piece, S16LE)):
                return

    async def _listen(self) -> None:
        try:
            while (response := await self._call.read()) is not aio.EOF:
                arrival = self.add(response)
                match arrival.kind:
                    case "audio":
                        samples = decode_pcm(response.audio.pcm, response.audio.format.encoding)
                        self.loudspeaker.add(arrival.turn, seconds(response.position), samples, arrival.at_s)
                    case "reply_paused" | "interrupted":
                        self.loudspeaker.cut(arrival.at_s)
                    case _:
                        pass
        finally:
            self.end()
