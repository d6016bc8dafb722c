"""Which sound device a name stands for."""

from __future__ import annotations

from pathlib import Path

from oviya.audio.device.contract import SoundDevice
from oviya.audio.device.sound_card import SoundCard
from oviya.audio.device.wav_files import WavFiles
from oviya.errors import InvalidInput

FILES = "file:"


def open_device(name: str = "", *, microphone: str = "", loudspeaker: str = "", listening: bool = True) -> SoundDevice:
    """Opens a sound device.

    Args:
        name: number or part of the name of a sound card; empty: the default one.  ``file:IN.WAV,OUT.WAV`` plays a
            recording instead of listening, and writes what is played; either may be empty.
        microphone: another sound card to listen with.
        loudspeaker: another sound card to play with.
        listening: whether the microphone of a sound card is used at all.

    Raises:
        NoSoundDevice: there is no such device, or PortAudio is not installed.
        InvalidInput: the recording cannot be read.
    """
    if not name.startswith(FILES):
        return SoundCard(microphone or name, loudspeaker or name, listening=listening)
    recording, comma, out = name.removeprefix(FILES).rpartition(",")
    if not comma:
        raise InvalidInput("device", name, f"must be {FILES}IN.WAV,OUT.WAV")
    return WavFiles(Path(recording) if recording else None, Path(out) if out else None)
