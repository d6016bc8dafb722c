"""Reads and writes the sound files of the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from oviya.audio.files import MAX_DURATION_S, SoundFile
from oviya.audio.pcm import MAX_RATE_HZ, Pcm
from oviya.audio.wav import write_wav
from oviya.cli.output import Output
from oviya.errors import InvalidInput

STDIN = Path("-")
"""Stands for standard input."""
PROGRESS_FROM_S = 30.0
"""Progress is shown for recordings of at least this length in seconds."""


def open_recording(path: Path, *, max_rate_hz: int = MAX_RATE_HZ, max_duration_s: float = MAX_DURATION_S) -> SoundFile:
    """Opens a sound or video file, or standard input.

    Raises:
        InvalidInput: the file cannot be read, or contains no sound.
    """
    source, name = (sys.stdin.buffer, "standard input") if path == STDIN else (path, "")
    return SoundFile(source, name=name, max_rate_hz=max_rate_hz, max_duration_s=max_duration_s)


def read_recording(
    path: Path,
    *,
    max_rate_hz: int = MAX_RATE_HZ,
    max_duration_s: float = MAX_DURATION_S,
    on_problem: Callable[[str], object] = lambda problem: None,
) -> tuple[Pcm, int]:
    """Returns the samples of a recording, shape (samples,), and their rate in Hz.

    Args:
        path: a file, or `STDIN`.
        max_rate_hz: sound of a higher rate is resampled to this rate.
        max_duration_s: longest accepted recording in seconds.
        on_problem: called with each defect of a recording that could be read in spite of it.

    Raises:
        InvalidInput: the file cannot be read, or contains no sound.
    """
    with open_recording(path, max_rate_hz=max_rate_hz, max_duration_s=max_duration_s) as sound:
        samples = sound.read()
        for problem in sound.problems:
            on_problem(problem)
        return samples, sound.sample_rate_hz


class ReadingProgress:
    """The progress of reading a long recording."""

    def __init__(self, progress: Progress | None, length_s: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=length_s) if progress is not None else None

    def at(self, seconds: float) -> None:
        """Shows a position in seconds."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=seconds, description=f"{seconds / 60:.1f} min")


@contextmanager
def reading_progress(output: Output, length_s: float | None) -> Generator[ReadingProgress]:
    """Shows the progress of reading a recording: on a terminal, if the recording is long or of unknown length."""
    console = output.progress_console
    if not console.is_terminal or (length_s is not None and length_s < PROGRESS_FROM_S):
        yield ReadingProgress(None, length_s)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield ReadingProgress(progress, length_s)


def check_writable(path: Path) -> None:
    """Checks that a file can be created, before the work is done.

    Raises:
        InvalidInput: the folder does not exist, or the path is a folder.
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
