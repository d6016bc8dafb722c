"""Sound files of every kind, sound and broken; all are made here by FFmpeg."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from oviya.audio.files import SoundFile
from oviya.errors import InvalidInput
from tests.support.sound_files import LENGTH_S, TONE, assert_tone, encoded, pipe, read_sound, wav

KINDS = [
    *[("wav", codec, 16_000, "mono") for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le")],
    *[("wav", codec, 8_000, "mono") for codec in ("pcm_mulaw", "pcm_alaw", "pcm_f64le", "adpcm_ms", "adpcm_ima_wav")],
    ("wav", "pcm_s64le", 16_000, "mono"),
    ("wav", "pcm_s16le", 44_100, "stereo"),
    ("wav", "pcm_f32le", 96_000, "5.1"),
    ("wav", "pcm_s16le", 192_000, "quad"),
    ("wav", "pcm_s16le", 4_000, "mono"),
    ("wav", "pcm_s16le", 11_025, "7.1"),
    ("w64", "pcm_s16le", 16_000, "mono"),
    ("aiff", "pcm_s24be", 22_050, "stereo"),
    ("au", "pcm_s16be", 16_000, "mono"),
    ("caf", "pcm_s16le", 48_000, "stereo"),
    ("mp3", "libmp3lame", 44_100, "stereo"),
    ("mp3", "libmp3lame", 16_000, "mono"),
    ("ipod", "aac", 44_100, "stereo"),
    ("mp4", "aac", 48_000, "mono"),
    ("mov", "alac", 44_100, "stereo"),
    ("adts", "aac", 32_000, "mono"),
    ("ogg", "libopus", 48_000, "stereo"),
    ("flac", "flac", 44_100, "stereo"),
    ("flac", "flac", 96_000, "mono"),
    ("webm", "libopus", 48_000, "mono"),
    ("matroska", "libopus", 48_000, "stereo"),
    ("mp4", "aac", 48_000, "7.1"),
    ("flac", "flac", 16_000, "7.1"),
    ("avi", "libmp3lame", 44_100, "stereo"),
    ("mpegts", "aac", 48_000, "stereo"),
    ("amr", "libopencore_amrnb", 8_000, "mono"),
]


@pytest.mark.parametrize(("container", "codec", "rate_hz", "layout"), KINDS)
def test_every_kind_of_file_is_read(container, codec, rate_hz, layout, tmp_path):
    try:
        blob = encoded(container, codec, rate_hz, layout)
    except UnknownCodecError:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = tmp_path / "recording"  # what it is shows in its bytes, not in its name
    path.write_bytes(blob)
    level = 0.4
    for source in (path, blob, io.BytesIO(blob)):
        with SoundFile(source) as sound:
            samples = np.concatenate(list(sound.blocks()))
        assert sound.problems == []
        assert sound.source_rate_hz == rate_hz
        assert sound.sample_rate_hz == min(max(rate_hz, 8_000), 48_000)
        assert_tone(samples, sound.sample_rate_hz, level=level)
        assert sound.read_s == pytest.approx(LENGTH_S, abs=0.08)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "libopus"), ("avi", "libmp3lame")])
def test_the_sound_of_a_video_is_read(container, codec):
    samples, rate_hz, problems = read_sound(encoded(container, codec, 48_000, "stereo", video=True))
    assert_tone(samples, rate_hz)
    assert problems == []


def test_a_higher_rate_is_brought_down_to_what_is_asked_for():
    samples, rate_hz, _ = read_sound(encoded("wav", "pcm_s16le", 44_100, "stereo"), max_rate_hz=16_000)
    assert rate_hz == 16_000
    assert_tone(samples, rate_hz)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_mulaw"])
def test_a_wav_file_that_was_written_to_a_pipe_is_read_to_its_end(size, codec):
    blob = bytearray(encoded("wav", codec, 16_000, "mono"))
    blob[4:8] = struct.pack("<I", size)
    at = blob.index(b"data") + 4
    blob[at : at + 4] = struct.pack("<I", size)
    samples, rate_hz, problems = read_sound(bytes(blob))
    assert_tone(samples, rate_hz)
    assert problems == []


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("flac", "flac"),
        ("webm", "libopus"),
        ("mp4", "aac"),
    ],
)
def test_a_pipe_is_read(container, codec):
    samples, rate_hz, problems = read_sound(pipe(encoded(container, codec, 48_000)))
    assert_tone(samples, rate_hz)
    assert problems == []


def test_a_named_pipe_is_read(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writing = threading.Thread(target=path.write_bytes, args=(encoded("ogg", "libopus", 48_000),))
    writing.start()
    samples, rate_hz, _ = read_sound(path)
    writing.join()
    assert_tone(samples, rate_hz)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("wav", "pcm_mulaw"),
        ("w64", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("flac", "flac"),
        ("webm", "libopus"),
    ],
)
def test_what_is_there_of_a_file_that_was_cut_short_is_used_and_the_rest_is_missed(container, codec):
    blob = encoded(container, codec, 48_000)
    samples, rate_hz, problems = read_sound(blob[: len(blob) // 2])
    assert 0.5 <= len(samples) / rate_hz <= 1.6
    assert len(problems) >= 1
    assert any(word in problems[0] for word in ("cut short", "damaged", "to its end"))


def test_damage_in_the_middle_is_passed_over():
    blob = bytearray(encoded("flac", "flac", 16_000))
    blob[len(blob) // 2 : len(blob) // 2 + 200] = np.random.default_rng(0).bytes(200)
    samples, rate_hz, _ = read_sound(bytes(blob))
    assert len(samples) / rate_hz > 1.0


@pytest.mark.parametrize(
    "channels",
    [[TONE, -TONE], [0 * TONE, TONE], [TONE, np.full_like(TONE, np.nan)], [0.1 + 0 * TONE] * 11 + [TONE]],
    ids=["out of phase", "a silent one", "a broken one", "the last of twelve"],
)
def test_channels_do_not_hide_the_sound(channels):
    samples, rate_hz, _ = read_sound(wav(np.stack(channels)))
    assert_tone(samples, rate_hz)


def test_a_long_file_is_read_in_small_pieces():
    blob = wav(np.tile(TONE, 60)[np.newaxis])  # two minutes
    with SoundFile(blob) as sound:
        sizes = [len(block) for block in sound.blocks()]
    assert sum(sizes) == 120 * 16_000
    assert max(sizes) <= 16_000


def test_without_pyav_plain_wav_is_read_and_the_rest_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    samples, rate_hz, problems = read_sound(wav(np.stack((TONE, -TONE))))
    assert_tone(samples, rate_hz)
    assert problems == []
    with pytest.raises(InvalidInput, match="oviya\\[cli\\]"):
        read_sound(b"ID3" + bytes(1000))
    with pytest.raises(InvalidInput, match="oviya\\[cli\\]"):
        read_sound(wav(TONE[np.newaxis], 96_000))


def test_the_client_reads_wav_without_loading_pyav():
    code = "import sys, oviya.client, oviya.audio.wav, oviya.audio.files; assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
