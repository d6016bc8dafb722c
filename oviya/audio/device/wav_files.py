"""Sound files in place of a sound card: a recording is heard at its pace, and what is played is written."""

from __future__ import annotations

import time
import wave
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

import numpy as np

from oviya.audio.device.contract import BLOCK_S, Fill, SoundDevice
from oviya.audio.files import SoundFile
from oviya.audio.pcm import S16LE, encode_pcm
from oviya.errors import InvalidInput

OUTPUT_RATE_HZ = 24_000
SILENT_RATE_HZ = 16_000
"""Rate of a microphone without a recording."""
MOST_BEHIND_S = 0.1
"""Delay in seconds that is made up for.  A device that was held up for longer goes on from there, as sound cards do."""


class WavFiles(SoundDevice):
    """A microphone that plays a recording and a loudspeaker that writes a WAV file.

    Args:
        recording: a sound file of any kind that FFmpeg reads; None: silence.
        out: the WAV file to write, mono, 16 bits, `OUTPUT_RATE_HZ`; None: nothing is written.

    Raises:
        InvalidInput: the recording cannot be read.
    """

    def __init__(self, recording: Path | None, out: Path | None) -> None:
        self._samples, rate_hz = np.zeros(0, np.float32), SILENT_RATE_HZ
        if recording is not None:
            with SoundFile(recording) as sound:
                self._samples, rate_hz = sound.read(), sound.sample_rate_hz
        super().__init__(rate_hz, OUTPUT_RATE_HZ)
        self._path = out
        self._sink: BinaryIO | None = None
        self._file: wave.Wave_write | None = None
        self._at = 0
        self._ended = Event()
        self._thread: Thread | None = None

    @property
    def recording_over(self) -> bool:
        return self._at >= len(self._samples)

    def _start(self, fill: Fill) -> None:
        if self._path is not None:
            try:
                self._sink = self._path.open("wb")
            except OSError as error:
                raise InvalidInput("device", self._path, f"must be writable: {error.strerror}") from error
            self._file = wave.Wave_write(self._sink)
            self._file.setnchannels(1)
            self._file.setsampwidth(2)
            self._file.setframerate(OUTPUT_RATE_HZ)
        self._thread = Thread(target=self._run, args=(fill,), daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._file is not None:
            self._file.close()
        if self._sink is not None:  # which `wave` leaves open, as it did not open it
            self._sink.close()

    def _run(self, fill: Fill) -> None:
        size, due = round(self.input_rate_hz * BLOCK_S), time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            block = self._samples[self._at : self._at + size]
            self._at += size
            self._heard(np.pad(block, (0, size - len(block))))
            played = fill(round(OUTPUT_RATE_HZ * BLOCK_S))
            if self._file is not None:
                self._file.writeframesraw(encode_pcm(played, S16LE))
            due = max(due + BLOCK_S, time.monotonic() - MOST_BEHIND_S)
