"""Encodes a clip as RVQ frames with Mimi."""

from __future__ import annotations

from collections.abc import AsyncIterator

from oviya.audio.pcm import F32LE, encode_pcm
from oviya.streams import with_stall_timeout
from oviya.v1 import common_pb2, mimi_pb2
from oviya.writing import sending
from services.gateway.own_voice.clip import Clip
from services.gateway.upstream.clients import Mesh, typed_errors

CHUNK_S = 1.0
TOTAL_S, STALL_S = 60.0, 20.0
"""Longest time in seconds for a clip, and for the next frames."""


async def encode_clip(mesh: Mesh, clip: Clip, codebooks: int) -> common_pb2.RvqFrames:
    """Returns the frames of a clip.

    Args:
        codebooks: codebooks to write; 0: all of the checkpoint.

    Raises:
        Busy, Timeout, Unavailable: the service does not answer.
    """
    frames = common_pb2.RvqFrames()
    call = mesh.mimi.Encode(timeout=TOTAL_S)
    with typed_errors("mimi"):
        async with sending(call, _requests(clip, codebooks)):
            async for response in with_stall_timeout(call, STALL_S, "the frames of a clip from mimi"):
                frames.codebooks = response.frames.codebooks
                frames.codes.extend(response.frames.codes)
    return frames


async def _requests(clip: Clip, codebooks: int) -> AsyncIterator[mimi_pb2.EncodeRequest]:
    audio_format = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=clip.rate_hz)
    yield mimi_pb2.EncodeRequest(config=mimi_pb2.EncodeConfig(format=audio_format, codebooks=codebooks))
    size = round(CHUNK_S * clip.rate_hz)
    for start in range(0, len(clip.samples), size):
        yield mimi_pb2.EncodeRequest(audio=encode_pcm(clip.samples[start : start + size], F32LE))
