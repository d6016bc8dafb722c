"""Sound files of every kind, sound and broken; all are made here by FFmpeg."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from oviya.audio import files
from oviya.audio.files import SoundFile, read_sound
from oviya.errors import InvalidInput

TONE_HZ, LENGTH_S = 440.0, 2.0


@cache
def encoded(container: str, codec: str, rate_hz: int = 16_000, layout: str = "mono", video: bool = False) -> bytes:
    """A tone as a file."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        pictures: Any = None
        if video:
            pictures = out.add_stream("mpeg4", rate=10)
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        added = out.add_stream(codec, rate=rate_hz)
        stream: Any = added
        stream.layout = layout
        wave = 0.4 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(LENGTH_S * rate_hz)) / rate_hz)
        channels = av.AudioLayout(layout).nb_channels
        packed = np.repeat(wave.astype(np.float32), channels)[np.newaxis]
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz)
        whole = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        whole.sample_rate = rate_hz
        for frame in resampler.resample(whole):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for number in range(20 if video else 0):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8))
            picture.pts = number
            out.mux(pictures.encode(picture))
        if video:
            out.mux(pictures.encode(None))
    return file.getvalue()


def assert_tone(samples, rate_hz, *, length_s=LENGTH_S, level=0.4):
    assert samples.dtype == np.float32
    assert len(samples) / rate_hz == pytest.approx(length_s, abs=0.08)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate_hz / len(middle) == pytest.approx(TONE_HZ, abs=5)
    assert np.sqrt(np.mean(np.square(middle))) == pytest.approx(level / np.sqrt(2), rel=0.15)


def wav(channels: np.ndarray, rate_hz: int = 16_000) -> bytes:
    """A float WAV file of shape (channels, samples)."""
    width = 4 * len(channels)
    form = struct.pack("<HHIIHH", 3, len(channels), rate_hz, rate_hz * width, width, 32)
    body = channels.T.astype("<f4").tobytes()
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


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


class _Pipe:
    """What cannot be wound back, in pieces of any size."""

    def __init__(self, blob):
        self._file = io.BytesIO(blob)

    def read(self, size=-1):
        return self._file.read(min(size, 700) if size > 0 else size)

    def seekable(self):
        return False


def pipe(blob: bytes) -> Any:
    return _Pipe(blob)


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


NOISE = np.random.default_rng(0).bytes(50_000)
BAD = {
    "empty": (b"", "empty"),
    "text": (b"this is no sound at all, it is text\n" * 100, "FFmpeg reads"),
    "zeros": (bytes(10_000), "FFmpeg reads"),
    "noise": (NOISE, "FFmpeg reads|decoded"),
    "half a header": (b"RIFF\x04\x00\x00\x00WAVE", "FFmpeg reads"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + NOISE, "FFmpeg reads"),
    "a playlist": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "FFmpeg reads",
    ),
    "a list of files": (b"ffconcat version 1.0\nfile /etc/passwd\n", "FFmpeg reads"),
    "no samples": (wav(np.zeros((1, 0))), "sample|FFmpeg reads"),
    "an mp4 without its index": (encoded("mp4", "aac")[:2_000], "FFmpeg reads"),
}


@pytest.mark.parametrize(("blob", "says"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("piped", [False, True])
def test_what_is_no_sound_is_refused_in_one_line(blob, says, piped):
    with pytest.raises(InvalidInput, match=says) as refused:
        read_sound(pipe(blob) if piped else blob, name="it.wav")
    assert refused.value.field == "file"
    assert "it.wav" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_video_without_sound_is_refused():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        out.mux(stream.encode(None))
    with pytest.raises(InvalidInput, match="no audio stream"):
        read_sound(file.getvalue())


def test_folders_missing_and_forbidden_files_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="directory"):
        read_sound(tmp_path)
    with pytest.raises(InvalidInput, match="No such file"):
        read_sound(tmp_path / "none.mp3")
    with pytest.raises(InvalidInput, match="No such file"):
        read_sound(Path("http://127.0.0.1:9/a.wav"))
    if os.geteuid():
        (tmp_path / "a.wav").write_bytes(encoded("wav", "pcm_s16le"))
        (tmp_path / "a.wav").chmod(0)
        with pytest.raises(InvalidInput, match="Permission"):
            read_sound(tmp_path / "a.wav")


TONE = 0.4 * np.sin(2 * np.pi * TONE_HZ * np.arange(32_000) / 16_000)


@pytest.mark.parametrize(
    "channels",
    [[TONE, -TONE], [0 * TONE, TONE], [TONE, np.full_like(TONE, np.nan)], [0.1 + 0 * TONE] * 11 + [TONE]],
    ids=["out of phase", "a silent one", "a broken one", "the last of twelve"],
)
def test_channels_do_not_hide_the_sound(channels):
    samples, rate_hz, _ = read_sound(wav(np.stack(channels)))
    assert_tone(samples, rate_hz)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sound_that_is_no_number_is_refused(bad):
    with pytest.raises(InvalidInput, match="finite"):
        read_sound(wav(np.full((2, 1600), bad)))


@pytest.mark.parametrize("rate_hz", [1, 999, 1_000_000])
def test_absurd_rates_are_refused(rate_hz):
    with pytest.raises(InvalidInput, match="Hz"):
        read_sound(wav(TONE[np.newaxis], rate_hz))


def test_what_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(InvalidInput, match=r"at most 0\.0166667 minutes"):
        SoundFile(encoded("wav", "pcm_s16le"), max_duration_s=1.0)


def test_what_turns_out_too_long_is_refused_as_soon_as_it_is():
    """A pipe does not say how long it is, and this one has no end."""
    header = bytearray(wav(np.zeros((1, 0))))
    header[4:8] = header[40:44] = struct.pack("<I", 0)
    served = 0

    class Endless(io.RawIOBase):
        def seekable(self):
            return False

        def read(self, size=-1):
            nonlocal served
            served += size
            if served == size:
                return bytes(header)
            return bytes(size)

    with (
        SoundFile(cast(Any, Endless()), max_duration_s=60.0) as sound,
        pytest.raises(InvalidInput, match="at most 1 minutes"),
    ):
        for _ in sound.blocks():
            pass
    assert served < 2 * 60 * 64_000


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


def test_mp4_from_a_pipe_is_taken_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(files, "SPOOL_BYTES", 1000)
    with pytest.raises(InvalidInput, match="from a pipe"):
        read_sound(pipe(encoded("mp4", "aac")))
