"""The sound card, through PortAudio."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from oviya.audio.device.contract import BLOCK_S, Fill, NoSoundDevice, SoundDevice
from oviya.audio.pcm import MAX_RATE_HZ, MIN_RATE_HZ

INSTALL = "pip install 'oviya[chat]'"
INSTALL_PORTAUDIO = "apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora)"


@dataclass(frozen=True, slots=True)
class Listed:
    """A device as PortAudio lists it, with its numbers of channels."""

    number: int
    name: str
    inputs: int
    outputs: int
    is_default: bool


class SoundCard(SoundDevice):
    """A microphone and a loudspeaker of this machine, at the rates that they run at.

    Args:
        microphone: number or part of the name; empty: the default.
        loudspeaker: number or part of the name; empty: the default.
        listening: whether the microphone is used at all.

    Raises:
        NoSoundDevice: there is no such device, or PortAudio is not installed.
    """

    def __init__(self, microphone: str = "", loudspeaker: str = "", *, listening: bool = True) -> None:
        self._portaudio = load_portaudio()
        self._microphone, self._loudspeaker = _selector(microphone), _selector(loudspeaker)
        self._listening = listening
        self._streams: list[Any] = []
        with _explained():
            output_rate_hz = self._rate("output", self._loudspeaker)
            input_rate_hz = self._rate("input", self._microphone) if listening else output_rate_hz
        super().__init__(input_rate_hz, output_rate_hz)

    def _start(self, fill: Fill) -> None:
        def play(block: Any, size: int, _time: Any, _status: Any) -> None:
            block[:, 0] = fill(size)

        def record(block: Any, _size: int, _time: Any, _status: Any) -> None:
            self._heard(block[:, 0])

        shared = {"channels": 1, "dtype": "float32"}
        with _explained():
            output = self._portaudio.OutputStream(
                samplerate=self.output_rate_hz, device=self._loudspeaker, callback=play, **shared
            )
            self._streams.append(output)
            self.latency_s = float(output.latency)
            if self._listening:
                size, rate_hz = round(self.input_rate_hz * BLOCK_S), self.input_rate_hz
                self._streams.append(
                    self._portaudio.InputStream(
                        samplerate=rate_hz, blocksize=size, device=self._microphone, callback=record, **shared
                    )
                )
            for stream in self._streams:
                stream.start()

    def _stop(self) -> None:
        for stream in self._streams:
            stream.stop()  # plays what it has been given; `close` alone drops it
            stream.close()
        self._streams.clear()

    def _rate(self, kind: str, device: int | str | None) -> int:
        """Returns the device's own rate, or the nearest that the gateway accepts, which the system then converts."""
        found = self._portaudio.query_devices(device, kind)
        return min(max(round(found["default_samplerate"]), MIN_RATE_HZ), MAX_RATE_HZ)


def list_devices() -> list[Listed]:
    """Returns the devices of this machine.

    Raises:
        NoSoundDevice: PortAudio is not installed.
    """
    portaudio = load_portaudio()
    with _explained():
        found, default = portaudio.query_devices(), tuple(portaudio.default.device)
    return [
        Listed(number, each["name"], each["max_input_channels"], each["max_output_channels"], number in default)
        for number, each in enumerate(found)
    ]


def load_portaudio() -> Any:
    """Imports `sounddevice`, which is an optional requirement.

    Raises:
        NoSoundDevice: it is not installed, or the PortAudio library is not.
    """
    try:
        import sounddevice  # pyright: ignore[reportMissingImports, reportMissingTypeStubs, reportUnknownVariableType]
    except ImportError as error:
        raise NoSoundDevice("the package sounddevice is not installed", hint=INSTALL) from error
    except OSError as error:  # Linux wheels come without the library
        raise NoSoundDevice(str(error), hint=INSTALL_PORTAUDIO) from error
    return sounddevice  # pyright: ignore[reportUnknownVariableType]


def _selector(device: str) -> int | str | None:
    return int(device) if device.isdecimal() else device or None


@contextmanager
def _explained() -> Generator[None]:
    """Raises PortAudio's errors as NoSoundDevice."""
    portaudio_error: type[Exception] = sys.modules["sounddevice"].PortAudioError
    try:
        yield
    except (portaudio_error, ValueError) as error:  # ValueError: no device of that name, or several
        raise NoSoundDevice(str(error), hint="`oviya chat --device list` shows the devices") from error
