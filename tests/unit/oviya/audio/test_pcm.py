"""Wire PCM, WAV files, resampling and RVQ frames."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from oviya.audio.pcm import F32LE, S16LE, check_format, decode_pcm, encode_pcm
from oviya.audio.resample import Resampler
from oviya.audio.wav import read_wav, write_wav
from oviya.errors import InvalidInput
from oviya.rvq import pack_frames, unpack_frames
from oviya.v1 import common_pb2

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)).astype(np.float32)


@pytest.mark.parametrize(("encoding", "error"), [(S16LE, 2**-15), (F32LE, 0)])
def test_pcm_round_trip(encoding, error):
    assert np.abs(decode_pcm(encode_pcm(TONE, encoding), encoding) - TONE).max() <= error


def test_sixteen_bit_full_scale_neither_wraps_nor_exceeds_one():
    loud = np.array([2.0, 1.0, -1.0, -2.0], np.float32)
    assert np.frombuffer(encode_pcm(loud, S16LE), "<i2").tolist() == [32767, 32767, -32768, -32768]
    assert np.abs(decode_pcm(encode_pcm(loud, S16LE), S16LE)).max() <= 1


@pytest.mark.parametrize(
    ("data", "encoding", "field"),
    [
        (b"\0\0\0", S16LE, "audio"),
        (b"\0\0\0", F32LE, "audio"),
        (struct.pack("<ff", 0, float("nan")), F32LE, "audio[1]"),
        (struct.pack("<f", float("-inf")), F32LE, "audio[0]"),
        (bytes(2 << 20), S16LE, "audio"),
    ],
)
def test_bad_pcm_is_refused_with_its_place(data, encoding, field):
    with pytest.raises(InvalidInput) as caught:
        decode_pcm(data, encoding)
    assert caught.value.field == field


@pytest.mark.parametrize("rate", [0, 7_999, 48_001, 4_000_000])
def test_rates_outside_the_range_are_refused(rate):
    with pytest.raises(InvalidInput, match="8000 to 48000 Hz"):
        check_format(common_pb2.AudioFormat(sample_rate_hz=rate))


@pytest.mark.parametrize("chunk", [1, 160, 4_801])
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_resampling_does_not_depend_on_the_chunks(chunk, rate):
    whole, parts = Resampler(24_000, rate), Resampler(24_000, rate)
    expected = np.concatenate([whole.push(TONE), whole.flush()])
    pieces = [parts.push(TONE[at : at + chunk]) for at in range(0, len(TONE), chunk)] + [parts.flush()]
    assert len(expected) == rate
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("coding", "bits", "dtype", "scale"),
    [
        (1, 8, "u1", None),
        (1, 16, "<i2", 2**15),
        (1, 24, None, 2**23),
        (1, 32, "<i4", 2**31),
        (3, 32, "<f4", 1),
        (3, 64, "<f8", 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_codings(tmp_path, coding, bits, dtype, scale, channels):
    tone = np.repeat(TONE[:500].astype(np.float64), channels)
    if bits == 8:
        body = np.rint(tone * 127 + 128).astype("u1").tobytes()
    elif bits == 24:
        body = b"".join(struct.pack("<i", round(sample * scale))[:3] for sample in tone)
    else:
        body = (tone * (scale - 1 if coding == 1 else 1)).astype(dtype).tobytes()
    form = struct.pack("<HHIIHH", coding, channels, 24_000, 24_000 * channels * bits // 8, channels * bits // 8, bits)
    riff = (
        b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"LIST\x03\x00\x00\x00abc\0data"
        + struct.pack("<I", len(body))
        + body
    )
    path = tmp_path / "tone.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(riff)) + riff)
    samples, rate = read_wav(path)
    assert rate == 24_000
    np.testing.assert_allclose(samples, TONE[:500], atol=0.01 if bits == 8 else 1e-3)


def test_wav_written_is_wav_read(tmp_path):
    write_wav(tmp_path / "a.wav", TONE, 24_000)
    samples, rate = read_wav(tmp_path / "a.wav")
    assert rate == 24_000
    np.testing.assert_allclose(samples, TONE, atol=2**-15)


@pytest.mark.parametrize("blob", [b"", b"RIFF", b"not a wav at all", b"RIFF\x04\0\0\0WAVE", b"ID3" + bytes(100)])
def test_what_is_no_wav_is_refused(tmp_path, blob):
    (tmp_path / "bad.wav").write_bytes(blob)
    with pytest.raises(InvalidInput):
        read_wav(tmp_path / "bad.wav")
    with pytest.raises(InvalidInput, match="readable"):
        read_wav(tmp_path / "none.wav")


@pytest.mark.parametrize("codebooks", [8, 32])
def test_rvq_round_trip(codebooks):
    codes = np.random.default_rng(0).integers(0, 2048, (25, codebooks))
    message = common_pb2.RvqFrames.FromString(pack_frames(codes).SerializeToString())
    unpacked = unpack_frames(message, "audio", codebooks=codebooks, codebook_size=2048, max_frames=25)
    np.testing.assert_array_equal(unpacked, codes)


@pytest.mark.parametrize(
    ("codebooks", "codes", "field"),
    [(0, [], "codebooks"), (33, [0] * 33, "codebooks"), (9, [0] * 9, "codebooks"), (8, [0] * 9, "codes"),
     (8, [0] * 15 + [2048], "codes[15]"), (8, [0] * 32, "codes")],
)  # fmt: skip
def test_bad_rvq_frames_are_refused(codebooks, codes, field):
    message = common_pb2.RvqFrames(codebooks=codebooks, codes=codes)
    with pytest.raises(InvalidInput) as caught:
        unpack_frames(message, "audio", codebooks=8, codebook_size=2048, max_frames=3)
    assert caught.value.field == f"audio.{field}"
