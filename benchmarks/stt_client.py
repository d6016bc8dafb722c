"""A plain caller of the speech-to-text service: plays sound and notes when each event arrives."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from grpc import aio

from oviya.audio.pcm import Pcm
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc
from tests.support.speech import plain_words

MESSAGE_S = 0.020


@dataclass(frozen=True)
class Arrival:
    """One response, and when it arrived: seconds after the first sample was due."""

    at_s: float
    response: stt_pb2.TranscribeResponse


@dataclass(frozen=True)
class Heard:
    """All responses to one recording."""

    arrivals: tuple[Arrival, ...]

    def of(self, kind: str) -> list[Arrival]:
        """Returns the arrivals of one kind of event."""
        return [arrival for arrival in self.arrivals if arrival.response.WhichOneof("event") == kind]

    @property
    def text(self) -> str:
        """The finals of all turns."""
        return " ".join(arrival.response.final.text for arrival in self.of("final"))

    @property
    def final_at_s(self) -> float | None:
        """When the last final that has words arrived."""
        return max((arrival.at_s for arrival in self.of("final") if arrival.response.final.text), default=None)

    @property
    def first_words_at_s(self) -> float | None:
        """When the first partial with words arrived."""
        return min((arrival.at_s for arrival in self.of("partial") if arrival.response.partial.text), default=None)

    @property
    def turn_ends_s(self) -> list[float]:
        """Where turns ended, as positions in the sound."""
        return [arrival.response.at.ToTimedelta().total_seconds() for arrival in self.of("turn_ended")]

    def words_taken_back(self) -> int:
        """Counts the words of partials with which a later partial, or the final, does not begin."""
        texts: dict[int, list[str]] = {}
        for response in (arrival.response for arrival in self.arrivals):
            kind = response.WhichOneof("event")
            if kind in ("partial", "final"):
                texts.setdefault(response.turn, []).append(getattr(response, kind).text)
        pairs = itertools.chain.from_iterable(itertools.pairwise(turn) for turn in texts.values())
        return sum(_taken_back(before, after) for before, after in pairs)


def _taken_back(before: str, after: str) -> int:
    said = plain_words(before)
    stand = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(said, plain_words(after), strict=False))
    return len(said) - len(list(stand))


async def play(channel: aio.Channel, sound: Pcm, rate_hz: int = 16_000, *, paced: bool) -> Heard:
    """Transcribes `sound` in a session of its own.

    Args:
        channel: channel to the service.
        sound: samples, shape (samples,), full scale 1.0.
        rate_hz: sample rate of `sound`.
        paced: send 20 ms every 20 ms, as a microphone does; otherwise as fast as the service accepts them.

    Raises:
        grpc.RpcError: The service ended the call.
    """
    pcm = (np.clip(sound, -1, 1) * 32767).astype("<i2")
    step = round(rate_hz * MESSAGE_S)
    started = time.perf_counter()

    async def requests() -> AsyncIterator[stt_pb2.TranscribeRequest]:
        audio_format = common_pb2.AudioFormat(encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=rate_hz)
        yield stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format))
        for index in range(0, len(pcm), step):
            piece = pcm[index : index + step]
            if paced:
                due = started + (index + len(piece)) / rate_hz
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield stt_pb2.TranscribeRequest(audio=piece.tobytes())

    call = stt_pb2_grpc.SttServiceStub(channel).Transcribe(requests())
    return Heard(tuple([Arrival(time.perf_counter() - started, response) async for response in call]))


async def model_of(channel: aio.Channel) -> str:
    """Returns which model the service says it has loaded."""
    answer = await stt_pb2_grpc.SttServiceStub(channel).GetModel(stt_pb2.SttServiceGetModelRequest(), timeout=10)
    return f"{answer.model.backend} {answer.model.name}".strip()
