"""Reads and writes WAV files as mono float32."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.audio.channels import Downmix
from oviya.audio.pcm import Pcm, encode_pcm
from oviya.audio.truncation import UNKNOWN_SIZES
from oviya.errors import InvalidInput
from oviya.v1 import common_pb2

_FORMAT_PCM, _FORMAT_FLOAT, _FORMAT_EXTENSIBLE = 1, 3, 0xFFFE
_MAX_FILE_BYTES = 1 << 30


def read_wav(path: Path) -> tuple[Pcm, int]:
    """Reads integer PCM of 8, 16, 24 or 32 bits or float PCM of 32 or 64; channels are mixed (`oviya.audio.channels`).

    Python's `wave` reads neither float nor extensible files, which many recorders write.

    Returns:
        Samples, shape (samples,), full scale 1.0, and their rate in Hz.

    Raises:
        InvalidInput: the file cannot be read, is no WAV file, or has another coding.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidInput("file", path, f"at most {_MAX_FILE_BYTES >> 20} MiB")
        blob = path.read_bytes()
    except OSError as error:
        raise InvalidInput("file", path, f"must be readable: {error.strerror}") from error
    return decode_wav(blob, str(path))


def decode_wav(blob: bytes, path: str) -> tuple[Pcm, int]:
    """Decodes the bytes of a WAV file; `path` names it in errors.  Returns and raises what `read_wav` does."""
    if blob[:4] != b"RIFF" or blob[8:12] != b"WAVE":
        raise InvalidInput("file", path, "must be a RIFF WAVE file", hint="convert it first, e.g. sox in.mp3 out.wav")
    form, body = _chunks(blob, path)
    coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if coding == _FORMAT_EXTENSIBLE and len(form) >= 26:
        coding = struct.unpack_from("<H", form, 24)[0]
    if channels == 0 or rate == 0:
        raise InvalidInput("file", path, f"must have channels and a rate, not {channels} and {rate} Hz")
    body = body[: len(body) - len(body) % (channels * max(bits // 8, 1))]
    try:
        return Downmix(channels).push(_samples(body, coding, bits, path).reshape(-1, channels).T), rate
    except ValueError as error:
        raise InvalidInput("file", path, str(error)) from error


def write_wav(path: Path, samples: Pcm, sample_rate_hz: int) -> None:
    """Writes samples, shape (samples,), as a mono 16-bit WAV file."""
    body = encode_pcm(samples, common_pb2.AUDIO_ENCODING_PCM_S16LE)
    form = struct.pack("<HHIIHH", _FORMAT_PCM, 1, sample_rate_hz, sample_rate_hz * 2, 2, 16)
    riff = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    path.write_bytes(b"RIFF" + struct.pack("<I", len(riff)) + riff)


def _chunks(blob: bytes, path: str) -> tuple[bytes, bytes]:
    """Finds the `fmt ` and `data` chunks.  A truncated data chunk is accepted.

    A program that writes to a pipe sets the size to 0 or to the maximum: then the rest of the file is data.
    """
    form, at = b"", 12
    unknown = struct.unpack_from("<I", blob, 4)[0] in UNKNOWN_SIZES if len(blob) >= 12 else False
    while at + 8 <= len(blob):
        name, size = blob[at : at + 4], struct.unpack_from("<I", blob, at + 4)[0]
        content = blob[at + 8 : at + 8 + size]
        if name == b"fmt " and len(content) >= 16:
            form = content
        if name == b"data" and form:
            return form, blob[at + 8 :] if size in UNKNOWN_SIZES and (size or unknown) else content
        at += 8 + size + size % 2
    raise InvalidInput("file", path, "must hold a format chunk and a data chunk")


def _samples(body: bytes, coding: int, bits: int, path: str) -> NDArray[np.float64]:
    """Decodes interleaved samples to full scale 1.0."""
    if coding == _FORMAT_FLOAT and bits in (32, 64):
        return np.frombuffer(body, f"<f{bits // 8}").astype(np.float64)
    if coding == _FORMAT_PCM and bits == 8:  # the only unsigned width
        return (np.frombuffer(body, "u1").astype(np.float64) - 128) / 128
    if coding == _FORMAT_PCM and bits in (16, 32):
        return np.frombuffer(body, f"<i{bits // 8}").astype(np.float64) / float(1 << (bits - 1))
    if coding == _FORMAT_PCM and bits == 24:
        padded = np.zeros((len(body) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0].astype(np.float64) / float(1 << 31)
    raise InvalidInput("file", path, f"must be integer or float PCM, not coding {coding} of {bits} bits")
