"""Reading and writing the sound files that commands name."""

from __future__ import annotations

from pathlib import Path

from oviya.audio.pcm import MAX_RATE_HZ, MIN_RATE_HZ, Pcm
from oviya.audio.wav import read_wav, write_wav
from oviya.errors import InvalidInput


def read_recording(path: Path) -> tuple[Pcm, int]:
    """Returns the samples of a WAV file, shape (samples,), and their rate in Hz.

    Raises:
        InvalidInput: the file cannot be read, holds nothing, or its rate is not one that Oviya hears.
    """
    samples, rate_hz = read_wav(path)
    if not len(samples):
        raise InvalidInput("file", path, "must hold at least one sample")
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise InvalidInput(
            "file",
            path,
            f"must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, not {rate_hz} Hz",
            hint=f"convert it first: sox {path.name} -r 16000 out.wav",
        )
    return samples, rate_hz


def check_writable(path: Path) -> None:
    """Fails before the work is done rather than after it.

    Raises:
        InvalidInput: the folder is missing, or a folder stands where the file should.
    """
    if path.is_dir():
        raise InvalidInput("out", path, "must be a file, not a folder")
    if not path.parent.is_dir():
        raise InvalidInput("out", path, "its folder must exist", hint=f"mkdir -p {path.parent}")


def write_recording(path: Path, samples: Pcm, rate_hz: int) -> None:
    """Writes samples, shape (samples,), as a 16-bit WAV file.

    Raises:
        InvalidInput: the file cannot be written.
    """
    try:
        write_wav(path, samples, rate_hz)
    except OSError as error:
        raise InvalidInput("out", path, f"must be writable: {error.strerror}") from error
