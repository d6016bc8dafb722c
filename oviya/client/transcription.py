"""The asynchronous client of the speech-to-text service, for apps that only want to hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
import numpy as np

from oviya.audio.pcm import S16LE, Pcm, encode_pcm
from oviya.client import wire
from oviya.client.channel import STALL_TIMEOUT_S, channel_options, read_events
from oviya.client.events import TranscribeEvent
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc

STT = "stt"
STT_ADDRESS = "localhost:50051"
CHUNK_S = 0.100
"""Length of a message: small enough for early partials, large enough to cost little."""


class SpeechToText:
    """A speech-to-text service, reached over gRPC.  Use it as an async context manager, or call `close`.

    Args:
        address: host:port of the service.
        stall_timeout_s: longest wait for the next event once all audio has been sent.
        use_proxy: whether to go through the proxy of the environment (http_proxy, https_proxy, grpc_proxy); None: only
            where the host is not on this machine or in a private network.
    """

    def __init__(
        self, address: str = STT_ADDRESS, *, stall_timeout_s: float = STALL_TIMEOUT_S, use_proxy: bool | None = None
    ) -> None:
        self.address = address
        self._stall_timeout_s = stall_timeout_s
        self._channel = grpc.aio.insecure_channel(address, options=channel_options(address, use_proxy))
        self._stub = stt_pb2_grpc.SttServiceStub(self._channel)

    async def transcribe(
        self, audio: Pcm | AsyncIterable[Pcm], sample_rate_hz: int
    ) -> AsyncGenerator[TranscribeEvent, None]:
        """Yields what is heard in `audio`; silence splits it into turns.

        Args:
            audio: mono samples, shape (samples,), full scale 1.0, or a stream of such pieces (a microphone).
            sample_rate_hz: their rate, 8000 to 48000.

        Raises:
            OviyaError: what the service refused or failed at.
        """
        pieces = _split(audio, round(sample_rate_hz * CHUNK_S)) if isinstance(audio, np.ndarray) else audio
        stall_s = self._stall_timeout_s if isinstance(audio, np.ndarray) else None  # a live speaker may be silent
        call = self._stub.Transcribe(_requests(pieces, sample_rate_hz))
        async for event in read_events(call, wire.from_transcribe, STT, stall_s):
            yield event

    async def close(self) -> None:
        """Ends all running calls and the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _split(samples: Pcm, size: int) -> AsyncGenerator[Pcm, None]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
        await asyncio.sleep(0)  # an hour of audio must not hold up the reader


async def _requests(pieces: AsyncIterable[Pcm], sample_rate_hz: int) -> AsyncGenerator[stt_pb2.TranscribeRequest, None]:
    audio_format = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=sample_rate_hz)
    yield stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format))
    async for piece in pieces:
        yield stt_pb2.TranscribeRequest(audio=encode_pcm(piece, S16LE))
