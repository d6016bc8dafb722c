"""Converts between wire PCM and float32, and validates untrusted audio."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from oviya.errors import InvalidInput
from oviya.v1 import common_pb2

Pcm = NDArray[np.float32]
"""Mono samples, shape (samples,), full scale 1.0."""

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 48_000
MAX_MESSAGE_BYTES = 1 << 20
S16_FULL_SCALE = 32768.0

Encoding: TypeAlias = "common_pb2.AudioEncoding.ValueType"
S16LE = common_pb2.AUDIO_ENCODING_PCM_S16LE
F32LE = common_pb2.AUDIO_ENCODING_PCM_F32LE
_SAMPLE_BYTES: dict[int, int] = {common_pb2.AUDIO_ENCODING_UNSPECIFIED: 2, S16LE: 2, F32LE: 4}


def check_format(audio_format: common_pb2.AudioFormat, field: str = "format") -> common_pb2.AudioFormat:
    """Validates an audio format and returns it with an explicit encoding.

    Raises:
        InvalidInput: unknown encoding, or a rate outside 8,000 to 48,000 Hz.
    """
    if audio_format.encoding not in _SAMPLE_BYTES:
        raise InvalidInput(f"{field}.encoding", audio_format.encoding, "must be PCM_S16LE or PCM_F32LE")
    rate = audio_format.sample_rate_hz
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise InvalidInput(f"{field}.sample_rate_hz", rate, f"must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
    return common_pb2.AudioFormat(encoding=audio_format.encoding or S16LE, sample_rate_hz=rate)


def decode_pcm(data: bytes, encoding: Encoding, field: str = "audio", *, max_bytes: int = MAX_MESSAGE_BYTES) -> Pcm:
    """Decodes wire bytes to float32 samples, shape (samples,), full scale 1.0.

    Float samples beyond full scale are clipped.

    Raises:
        InvalidInput: too many bytes, an incomplete sample, NaN or an infinity.
    """
    size = _SAMPLE_BYTES.get(encoding)
    if size is None:
        raise InvalidInput(f"{field}.format.encoding", encoding, "must be PCM_S16LE or PCM_F32LE")
    if len(data) > max_bytes:
        raise InvalidInput(
            field, f"{len(data)} bytes", f"at most {max_bytes} bytes a message", hint="send less at a time"
        )
    if len(data) % size:
        raise InvalidInput(field, f"{len(data)} bytes", f"must be whole samples of {size} bytes")
    if size == 2:
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(S16_FULL_SCALE)
    samples = np.frombuffer(data, "<f4").astype(np.float32)
    finite = np.isfinite(samples)
    if not finite.all():
        at = int(np.argmin(finite))
        raise InvalidInput(f"{field}[{at}]", samples[at], "samples must be finite numbers")
    return np.clip(samples, -1.0, 1.0)


def encode_pcm(samples: Pcm, encoding: Encoding) -> bytes:
    """Encodes samples, shape (samples,), as wire bytes.  16-bit samples are rounded and clipped to full scale."""
    if encoding == F32LE:
        return samples.astype("<f4").tobytes()
    return np.clip(np.rint(samples * S16_FULL_SCALE), -32768, 32767).astype("<i2").tobytes()


def audio_message(samples: Pcm, audio_format: common_pb2.AudioFormat) -> common_pb2.Audio:
    """Packs samples, shape (samples,), into a message of the given format."""
    return common_pb2.Audio(format=audio_format, pcm=encode_pcm(samples, audio_format.encoding))
