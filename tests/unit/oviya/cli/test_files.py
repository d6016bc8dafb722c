"""The recordings that commands take, and clear errors for the rest."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from oviya.audio.wav import write_wav
from oviya.cli.files import check_writable, read_recording, write_recording
from oviya.errors import InvalidInput

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
TONE = (0.5 * np.sin(np.arange(800) / 5)).astype(np.float64)


def wav(body: bytes, *, coding=PCM, channels=1, rate=16_000, bits=16, extra=b"") -> bytes:
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", coding, channels, rate, rate * width, width, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pcm24(samples):
    return b"".join(round(s * 8388607).to_bytes(3, "little", signed=True) for s in samples)


BODIES = {
    "8-bit": (PCM, 8, np.round(TONE * 127 + 128).astype("u1").tobytes(), 0.01),
    "16-bit": (PCM, 16, np.round(TONE * 32767).astype("<i2").tobytes(), 1e-4),
    "24-bit": (PCM, 24, pcm24(TONE), 1e-6),
    "32-bit": (PCM, 32, np.round(TONE * 2147483647).astype("<i4").tobytes(), 1e-6),
    "float 32": (FLOAT, 32, TONE.astype("<f4").tobytes(), 1e-6),
    "float 64": (FLOAT, 64, TONE.astype("<f8").tobytes(), 1e-6),
}


@pytest.mark.parametrize(("coding", "bits", "body", "tolerance"), BODIES.values(), ids=BODIES.keys())
def test_every_width_is_read(tmp_path, coding, bits, body, tolerance):
    path = tmp_path / "in.wav"
    path.write_bytes(wav(body, coding=coding, bits=bits))
    samples, rate_hz = read_recording(path)
    assert (samples.dtype, rate_hz) == (np.float32, 16_000)
    np.testing.assert_allclose(samples, TONE, atol=tolerance)


def test_the_extensible_form_is_read(tmp_path):
    form = struct.pack("<HIH", 16, 4, PCM) + bytes(
        14
    )  # valid bits, centre speaker, the coding and the rest of its GUID
    path = tmp_path / "in.wav"
    path.write_bytes(wav(BODIES["16-bit"][2], coding=EXTENSIBLE, extra=struct.pack("<H", len(form)) + form))
    np.testing.assert_allclose(read_recording(path)[0], TONE, atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_stereo_is_mixed_down_at_every_rate(tmp_path, rate):
    both = np.stack([TONE, -TONE / 2], axis=1)
    path = tmp_path / "in.wav"
    path.write_bytes(wav(both.astype("<f4").tobytes(), coding=FLOAT, bits=32, channels=2, rate=rate))
    samples, rate_hz = read_recording(path)
    assert rate_hz == rate
    np.testing.assert_allclose(samples, 0.75 * TONE, atol=1e-6)  # the second is out of phase


S16 = BODIES["16-bit"][2]
BAD = {
    "empty file": (b"", "empty"),
    "text": (b"this is no sound at all, it is text", "FFmpeg reads"),
    "half an mp3": (b"ID3\x04" + bytes(100), "FFmpeg reads"),
    "only a header": (b"RIFF\x04\x00\x00\x00WAVE", "FFmpeg reads"),
    "no samples": (wav(b""), "at least one sample|FFmpeg reads"),
    "1 MHz": (wav(S16, rate=1_000_000), "1000 to 768000 Hz, not 1000000"),
    "no channels": (wav(S16, channels=0), "FFmpeg reads|channels"),
    "NaN": (wav(np.full(9, np.nan, "<f4").tobytes(), coding=FLOAT, bits=32), "finite"),
    "infinity": (wav(np.full(9, np.inf, "<f4").tobytes(), coding=FLOAT, bits=32), "finite"),
}


@pytest.mark.parametrize(("blob", "says"), BAD.values(), ids=BAD.keys())
def test_other_files_are_refused_in_words(tmp_path, blob, says):
    path = tmp_path / "in.wav"
    path.write_bytes(blob)
    with pytest.raises(InvalidInput, match=says) as refused:
        read_recording(path)
    assert refused.value.field == "file"
    assert "in.wav" in str(refused.value)


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="No such file"):
        read_recording(tmp_path / "none.wav")
    with pytest.raises(InvalidInput, match="directory"):
        read_recording(tmp_path)


def test_a_recording_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(wav(S16)[:-101])
    np.testing.assert_allclose(read_recording(path)[0], TONE[:-51], atol=1e-4)


def test_output_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with pytest.raises(InvalidInput, match="folder"):
        check_writable(tmp_path)
    with pytest.raises(InvalidInput, match="mkdir"):
        check_writable(tmp_path / "no" / "out.wav")
    check_writable(tmp_path / "out.wav")
    with pytest.raises(InvalidInput, match="writable"):
        write_recording(tmp_path, TONE.astype(np.float32), 24_000)


def test_what_is_written_is_read_again(tmp_path):
    write_wav(tmp_path / "out.wav", TONE.astype(np.float32), 24_000)
    samples, rate_hz = read_recording(tmp_path / "out.wav")
    assert rate_hz == 24_000
    np.testing.assert_allclose(samples, TONE, atol=1e-4)


@pytest.mark.parametrize(("rate", "heard"), [(96_000, 48_000), (4_000, 8_000)])
def test_rates_that_the_services_do_not_hear_are_changed(tmp_path, rate, heard):
    path = tmp_path / "in.wav"
    path.write_bytes(wav(S16, rate=rate))
    samples, rate_hz = read_recording(path)
    assert rate_hz == heard
    assert len(samples) / heard == pytest.approx(len(TONE) / rate, rel=0.05)


def test_what_was_cut_short_is_reported(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(wav(S16)[:-800])
    problems = []
    read_recording(path, on_problem=problems.append)
    assert len(problems) == 1
    assert "cut short" in problems[0]
