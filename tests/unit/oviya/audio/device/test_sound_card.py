"""The sound card, with a PortAudio without hardware: what it is asked for, and what goes through."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from oviya.audio.device import NoSoundDevice, open_device
from oviya.audio.device.sound_card import list_devices


class FakePortAudio(SimpleNamespace):
    """Stands in for the module `sounddevice`."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rates: dict[str, float], fault: str = ""):
        super().__init__(default=SimpleNamespace(device=[0, 1]))
        self.rates, self.fault, self.open = rates, fault, []

    def query_devices(self, device=None, kind=None):
        if kind is None:
            names = [("mic", 2, 0), ("loud", 0, 2)]
            return [{"name": name, "max_input_channels": i, "max_output_channels": o} for name, i, o in names]
        if device not in (None, 0, "mic", "loud"):
            raise ValueError(f"No {kind} device matching {device!r}")
        return {"default_samplerate": self.rates[kind]}

    def OutputStream(self, **options):
        return self._stream("output", options)

    def InputStream(self, **options):
        if self.fault:
            raise self.PortAudioError(self.fault)
        return self._stream("input", options)

    def _stream(self, kind, options):
        stream = SimpleNamespace(kind=kind, latency=0.05, **options)
        stream.start = lambda: self.open.append(stream)
        stream.stop = lambda: None
        stream.close = lambda: stream in self.open and self.open.remove(stream)
        return stream


@pytest.fixture
def portaudio(monkeypatch) -> FakePortAudio:
    fake = FakePortAudio({"input": 44_100.0, "output": 96_000.0})
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def half(size: int) -> np.ndarray:
    return np.full(size, 0.5, np.float32)


async def test_sound_goes_both_ways_at_rates_that_the_gateway_accepts(portaudio):
    device = open_device(microphone="mic", loudspeaker="0")
    assert (device.input_rate_hz, device.output_rate_hz) == (44_100, 48_000)
    with device.running(half):
        output, microphone = portaudio.open
        assert (output.kind, output.device, output.samplerate) == ("output", 0, 48_000)
        assert (microphone.kind, microphone.device, microphone.samplerate) == ("input", "mic", 44_100)
        assert device.latency_s == 0.05
        block = np.zeros((300, 1), np.float32)
        output.callback(block, 300, None, None)
        np.testing.assert_array_equal(block, 0.5)
        microphone.callback(block, 300, None, None)
        block[:] = 0  # PortAudio uses the memory again
        async for sound in device:
            np.testing.assert_array_equal(sound, half(300))
            break
    assert not portaudio.open


async def test_a_card_that_only_plays_opens_no_microphone(portaudio):
    with open_device(listening=False).running(half):
        (stream,) = portaudio.open
        assert stream.kind == "output"


async def test_what_does_not_work_is_a_clear_error(portaudio):
    with pytest.raises(NoSoundDevice, match="No input device matching 'drum'") as unknown:
        open_device("drum", loudspeaker="loud")
    assert "--device list" in unknown.value.hint
    portaudio.fault = "Device unavailable"
    with pytest.raises(NoSoundDevice, match="Device unavailable"), open_device().running(half):
        pass
    assert not portaudio.open


def test_the_devices_are_listed(portaudio):
    microphone, loudspeaker = list_devices()
    assert (microphone.name, microphone.inputs, microphone.outputs) == ("mic", 2, 0)
    assert loudspeaker.is_default


def test_missing_parts_are_named_with_the_way_to_install_them(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(NoSoundDevice, match="not installed") as package:
        open_device()
    assert "oviya[chat]" in package.value.hint
    monkeypatch.delitem(sys.modules, "sounddevice")
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NoSoundDevice, match="PortAudio library not found") as library:
        open_device()
    assert "libportaudio2" in library.value.hint
