"""Files that are refused: no sound, broken, too long, or of absurd rates."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from oviya.audio import pipes
from oviya.audio.files import SoundFile
from oviya.errors import InvalidInput
from tests.support.sound_files import TONE, encoded, pipe, read_sound, wav

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


def test_mp4_from_a_pipe_is_taken_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(pipes, "SPOOL_BYTES", 1000)
    with pytest.raises(InvalidInput, match="from a pipe"):
        read_sound(pipe(encoded("mp4", "aac")))
