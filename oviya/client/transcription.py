"""The asynchronous client of the speech-to-text service, for apps that only need transcripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable

import numpy as np

from oviya.audio.pcm import S16LE, Pcm, encode_pcm
from oviya.client import wire
from oviya.client.channel import STALL_TIMEOUT_S, AsyncClient, read_events
from oviya.client.events import TranscribeEvent
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc
from oviya.writing import sending

STT = "stt"
STT_ADDRESS = "localhost:50051"
CHUNK_S = 0.100
"""Length of a message: small enough for early partials, large enough to cost little."""


class SpeechToText(AsyncClient):
    """A speech-to-text service, reached over gRPC.  Use it as an async context manager, or call `close`.

    Args:
        address: host:port of the service.
        stall_timeout_s: longest wait for the next event after all audio was sent.
        use_proxy: as for `AsyncClient`.
    """

    def __init__(
        self, address: str = STT_ADDRESS, *, stall_timeout_s: float = STALL_TIMEOUT_S, use_proxy: bool | None = None
    ) -> None:
        super().__init__(address, stall_timeout_s=stall_timeout_s, use_proxy=use_proxy)
        self._stub = stt_pb2_grpc.SttServiceStub(self._channel)

    async def transcribe(
        self, audio: Pcm | AsyncIterable[Pcm], sample_rate_hz: int
    ) -> AsyncGenerator[TranscribeEvent, None]:
        """Transcribes `audio`; silence splits it into turns.

        Args:
            audio: mono samples, shape (samples,), full scale 1.0, or a stream of such chunks (a microphone).
            sample_rate_hz: their rate, 8000 to 48000.

        Raises:
            OviyaError: the service refused the call or failed.
        """
        chunks = _split(audio, round(sample_rate_hz * CHUNK_S)) if isinstance(audio, np.ndarray) else audio
        stall_s = self._stall_timeout_s if isinstance(audio, np.ndarray) else None  # a microphone may be silent
        call = self._stub.Transcribe()
        async with sending(call, _requests(chunks, sample_rate_hz)):
            async for event in read_events(call, wire.from_transcribe, STT, stall_s):
                yield event


async def _split(samples: Pcm, size: int) -> AsyncGenerator[Pcm, None]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
        await asyncio.sleep(0)  # lets the reader run while a long recording is sent


async def _requests(chunks: AsyncIterable[Pcm], sample_rate_hz: int) -> AsyncGenerator[stt_pb2.TranscribeRequest, None]:
    audio_format = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=sample_rate_hz)
    yield stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format))
    async for chunk in chunks:
        yield stt_pb2.TranscribeRequest(audio=encode_pcm(chunk, S16LE))
